"""Why a score is high, in plain words: contributions summed by what a person would name, each with its own numbers.

Only pushes upward are reasons, and a missing value never is one: what the model makes of an outage is not the card's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import features
from scoring.sentences import SENTENCES, Terms

MOST = 4
LEAST = 0.05
"""Log-odds; a smaller push is noise to a person."""


@dataclass(frozen=True)
class Reason:
    """One reason: a stable code for machines, a sentence for people, and its push in log-odds (a rule has none)."""

    code: str
    text: str
    weight: float | None


def explain(
    values: Sequence[float], contributions: Sequence[float], currency: str, *, is_utc: bool = False
) -> list[Reason]:
    """Return at most four reasons, strongest first.

    `values`: a vector in the order of features.NAMES; `contributions`: log-odds per feature, in the same order;
    `currency`: of the amounts among the features; `is_utc`: the hour among them is of UTC, not the place's own.
    """
    terms = Terms(currency, "UTC" if is_utc else "local time")
    known: dict[str, float] = {}
    pushes = dict.fromkeys(SENTENCES, 0.0)
    for name, code, value, contribution in zip(features.NAMES, CODE_OF, values, contributions, strict=True):
        if isfinite(value):
            known[name] = value
            pushes[code] += contribution
    strongest = sorted((code for code, push in pushes.items() if push >= LEAST), key=lambda code: -pushes[code])
    return [Reason(code, SENTENCES[code](known, terms), round(pushes[code], 4)) for code in strongest[:MOST]]


CODES = {
    "amount": """amount is_round_amount amount_vs_avg_ratio card_avg_amount_1d card_avg_amount_7d card_avg_amount_30d
        card_std_amount_30d card_max_amount_30d""",
    "time_of_day": "hour_local is_weekend is_night card_night_share_30d",
    "place": "is_cross_border geo_velocity_kmh",
    "entry": "is_card_present is_strongly_authenticated",
    "merchant": """merchant_tx_count_1d merchant_tx_count_7d merchant_tx_count_30d merchant_risk_1d merchant_risk_7d
        merchant_risk_30d merchant_volume_ratio""",
    "merchant_category": "mcc_group is_high_risk_mcc mcc_risk_30d high_risk_merchant_count_1hr",
    "velocity": "tx_count_5min tx_count_1hr tx_count_24hr time_since_last_tx_s",
    "spending": "amount_sum_24hr avg_amount_1hr max_amount_1hr",
    "card_activity": """card_tx_count_1d card_tx_count_7d card_tx_count_30d card_active_days_30d
        card_distinct_acceptors_30d""",
    "card_age": "card_days_since_first_seen",
}
TOPIC = {name: code for code, names in CODES.items() for name in names.split()}
"""Feature to the code of the reason it belongs to; a test holds that no feature is left out."""
CODE_OF = tuple(TOPIC[name] for name in features.NAMES)
