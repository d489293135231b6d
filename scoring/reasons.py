"""Why a score is high, in plain words: contributions summed by what a person would name, each with its own numbers.

Only pushes upward are reasons, and a missing value never is one: what the model makes of an outage is not the card's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

import features

MOST = 4
LEAST = 0.05
"""Log-odds; a smaller push is noise to a person."""
Values = dict[str, float]


@dataclass(frozen=True)
class Reason:
    """One reason: a stable code for machines, a sentence for people, and its push in log-odds."""

    code: str
    text: str
    weight: float


def explain(values: Sequence[float], contributions: Sequence[float], currency: str) -> list[Reason]:
    """Return at most four reasons, strongest first.

    `values`: a vector in the order of features.NAMES; `contributions`: log-odds per feature, in the same order;
    `currency`: of the amounts among the features.
    """
    known: Values = {}
    pushes = dict.fromkeys(SENTENCES, 0.0)
    for name, code, value, contribution in zip(features.NAMES, CODE_OF, values, contributions, strict=True):
        if isfinite(value):
            known[name] = value
            pushes[code] += contribution
    strongest = sorted((code for code, push in pushes.items() if push >= LEAST), key=lambda code: -pushes[code])
    return [Reason(code, SENTENCES[code](known, currency), round(pushes[code], 4)) for code in strongest[:MOST]]


def _amount(known: Values, currency: str) -> str:
    paid, usual, largest = (known.get(n) for n in ("amount", "card_avg_amount_30d", "card_max_amount_30d"))
    if paid is None:
        return f"this card usually pays {_money(usual or largest or 0.0, currency)}"
    if not usual or largest is None:
        return f"the amount is {_money(paid, currency)}"
    text = f"{_money(paid, currency)} is {_times(paid / usual)} this card's 30-day average of {_money(usual, currency)}"
    return f"{text}, and above its largest, {_money(largest, currency)}" if paid > largest else text


def _time(known: Values, _currency: str) -> str:
    hour = f"{known['hour_local']:02.0f}:00" if "hour_local" in known else "this hour"
    text = f"paid about {hour} local time" + (" on a weekend" if known.get("is_weekend") else "")
    share = known.get("card_night_share_30d")
    if known.get("is_night") and share is not None:
        text += f", when this card makes {share:.0%} of its payments"
    return text


def _place(known: Values, _currency: str) -> str:
    return (
        "the merchant is abroad for this card"
        if known.get("is_cross_border")
        else "the merchant is in the card's country"
    )


def _entry(known: Values, _currency: str) -> str:
    present, strong = known.get("is_card_present"), known.get("is_strongly_authenticated")
    said = [] if present is None else ["the card was present" if present else "the card was not present"]
    if strong is not None:
        said.append("the holder was strongly authenticated" if strong else "the holder was not strongly authenticated")
    return " and ".join(said)


def _merchant(known: Values, _currency: str) -> str:
    risk, payments, ratio = (known.get(f"merchant_{n}") for n in ("risk_30d", "tx_count_30d", "volume_ratio"))
    if payments == 0.0:
        return "the merchant had no payments in the 30 days that are judged"
    said = []
    if risk is not None:
        said.append(f"about {risk:.1%} of this merchant's payments in 30 days were fraud")
    if ratio is not None and ratio >= 1.5:
        said.append(f"yesterday it had {_times(ratio)} its usual number of payments")
    return "; ".join(said) or "this merchant's recent payments"


def _category(known: Values, _currency: str) -> str:
    text = "the merchant's category is one that card schemes call high risk" if known.get("is_high_risk_mcc") else ""
    risk = known.get("mcc_risk_30d")
    rate = f"about {risk:.1%} of payments in the merchant's category were fraud in 30 days" if risk is not None else ""
    return "; ".join(part for part in (text, rate) if part) or "the merchant's category"


def _activity(known: Values, _currency: str) -> str:
    day, month = known.get("card_tx_count_1d"), known.get("card_tx_count_30d")
    if month == 0.0:
        return "the card made no payment in the last 30 days"
    counted = ((day, "the last day"), (month, "30 days"))
    said = [f"{n:.0f} payment{'' if n == 1 else 's'} in {span}" for n, span in counted if n is not None]
    text = f"the card made {' and '.join(said)}" if said else "how often this card pays"
    acceptors = known.get("card_distinct_acceptors_30d")
    return f"{text}, at {acceptors:.0f} merchant{'' if acceptors == 1 else 's'}" if acceptors else text


def _age(known: Values, _currency: str) -> str:
    days = known.get("card_days_since_first_seen", 0.0)
    return f"the card was first seen {days:.0f} {'day' if days == 1 else 'days'} ago"


def _money(value: float, currency: str) -> str:
    return f"{value:,.2f} {currency}".rstrip()


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


SENTENCES: dict[str, Callable[[Values, str], str]] = {
    "amount": _amount,
    "time_of_day": _time,
    "place": _place,
    "entry": _entry,
    "merchant": _merchant,
    "merchant_category": _category,
    "card_activity": _activity,
    "card_age": _age,
}
CODES = {
    "amount": """amount is_round_amount amount_vs_avg_ratio card_avg_amount_1d card_avg_amount_7d card_avg_amount_30d
        card_std_amount_30d card_max_amount_30d""",
    "time_of_day": "hour_local is_weekend is_night card_night_share_30d",
    "place": "is_cross_border",
    "entry": "is_card_present is_strongly_authenticated",
    "merchant": """merchant_tx_count_1d merchant_tx_count_7d merchant_tx_count_30d merchant_risk_1d merchant_risk_7d
        merchant_risk_30d merchant_volume_ratio""",
    "merchant_category": "mcc_group is_high_risk_mcc mcc_risk_30d",
    "card_activity": """card_tx_count_1d card_tx_count_7d card_tx_count_30d card_active_days_30d
        card_distinct_acceptors_30d""",
    "card_age": "card_days_since_first_seen",
}
TOPIC = {name: code for code, names in CODES.items() for name in names.split()}
"""Feature to the code of the reason it belongs to; a test holds that no feature is left out."""
CODE_OF = tuple(TOPIC[name] for name in features.NAMES)
