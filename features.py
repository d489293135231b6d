"""The one definition of every feature: the list, the builder of the vector, and the hash that names them.

Training and serving both call `build`; nobody else puts numbers in the model's order. Daily profiles (card, acceptor)
are Gold rows made by dbt, whose columns have the names below; what a card did just now is the state of `windows.py`.
Missing is NaN, never a plausible value.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import windows
from currencies import EXPONENT
from rates import to_reporting
from settings import definitions
from windows import Place

NAN = math.nan
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
HOUR_S = 3_600


class Group(StrEnum):
    """Features that come from one place, and so go missing together."""

    TRANSACTION = "transaction"
    CARD = "card"
    ACCEPTOR = "acceptor"
    WINDOW = "window"
    DERIVED = "derived"


@dataclass(frozen=True)
class Feature:
    """One feature: name, unit, group, time to live in seconds (0: of the payment itself), version of its formula."""

    name: str
    unit: str
    group: Group
    ttl_s: int = 0
    version: int = 1


PROFILE_TTL_S = 51 * HOUR_S
"""A day's row serves for a day from its publication (3 h after midnight); one missed day is borne, not two."""

WINDOW_VERSION = windows.VERSION
Window = windows.Window
Event = windows.Event
WINDOW_TTL_S = 15
"""How far the stream that observes payments may be behind before the windows that it keeps are stale."""


def _group(group: Group, ttl_s: int, columns: str) -> tuple[Feature, ...]:
    """Read `name:unit`, or `name:unit:version` where the formula has been changed since its first."""
    found = (column.split(":") for column in columns.split())
    return tuple(Feature(name, unit, group, ttl_s, *map(int, version)) for name, unit, *version in found)


TRANSACTION = _group(
    Group.TRANSACTION,
    0,
    """
    amount:reporting_currency:2 hour_local:hour is_weekend:flag is_night:flag is_round_amount:flag is_card_present:flag
    is_cross_border:flag mcc_group:category is_high_risk_mcc:flag is_strongly_authenticated:flag""",
)
CARD = _group(
    Group.CARD,
    PROFILE_TTL_S,
    """
    card_tx_count_1d:payments card_tx_count_7d:payments card_tx_count_30d:payments
    card_avg_amount_1d:reporting_currency card_avg_amount_7d:reporting_currency card_avg_amount_30d:reporting_currency
    card_std_amount_30d:reporting_currency card_max_amount_30d:reporting_currency card_active_days_30d:days
    card_night_share_30d:share card_distinct_acceptors_30d:acceptors card_days_since_first_seen:days:2""",
)
ACCEPTOR = _group(
    Group.ACCEPTOR,
    PROFILE_TTL_S,
    """
    merchant_tx_count_1d:payments merchant_tx_count_7d:payments merchant_tx_count_30d:payments
    merchant_risk_1d:share merchant_risk_7d:share merchant_risk_30d:share
    merchant_volume_ratio:ratio mcc_risk_30d:share""",
)
WINDOW = _group(
    Group.WINDOW,
    WINDOW_TTL_S,
    """
    tx_count_5min:payments:2 tx_count_1hr:payments:2 tx_count_24hr:payments:2 amount_sum_24hr:reporting_currency:2
    avg_amount_1hr:reporting_currency:2 max_amount_1hr:reporting_currency:2 time_since_last_tx_s:seconds:2
    geo_velocity_kmh:km/h:2 high_risk_merchant_count_1hr:payments:2""",
)
DERIVED = _group(Group.DERIVED, 0, "amount_vs_avg_ratio:ratio")
FEATURES = (*TRANSACTION, *CARD, *ACCEPTOR, *WINDOW, *DERIVED)
NAMES = tuple(feature.name for feature in FEATURES)
CARD_COLUMNS = tuple(feature.name for feature in CARD)
ACCEPTOR_COLUMNS = tuple(feature.name for feature in ACCEPTOR)
AVERAGE_30D = CARD_COLUMNS.index("card_avg_amount_30d")
WHEN_NEW = {
    "card_tx_count_1d": 0.0,
    "card_tx_count_7d": 0.0,
    "card_tx_count_30d": 0.0,
    "card_active_days_30d": 0.0,
    "card_distinct_acceptors_30d": 0.0,
    "card_days_since_first_seen": 0.0,
    "merchant_tx_count_1d": 0.0,
    "merchant_tx_count_7d": 0.0,
    "merchant_tx_count_30d": 0.0,
}

MCC_GROUPS = (1500, 3000, 3300, 3500, 4000, 4800, 5000, 5600, 5700, 7300, 8000, 9000)
"""First code of each ISO 18245 range after the first (agricultural, contracted, airlines, car rental, lodging,
transport, utilities, retail, clothing, miscellaneous stores, business, professional, government services)."""
HIGH_RISK_MCC = frozenset(
    "4829 5122 5816 5912 5966 5967 5993 6051 6211 6538 6540 7273 7801 7802 7995".split()  # noqa: SIM905 - reads better
)
"""Money transfer, drugs, digital games, teleservices, tobacco, quasi-cash, securities, stored value, dating, betting:
the categories for which card schemes ask acquirers to register high-risk acceptors."""
CARD_PRESENT = {
    "chip": 1.0,
    "contactless": 1.0,
    "magstripe": 1.0,
    "manual": 0.0,
    "ecommerce": 0.0,
    "credential_on_file": 0.0,
    "moto": 0.0,
    "recurring": 0.0,
}
STRONG = {
    "pin": 1.0,
    "device": 1.0,
    "three_ds_challenge": 1.0,
    "none": 0.0,
    "three_ds_frictionless": 0.0,
    "three_ds_attempt": 0.0,
    "exempt": 0.0,
}
NIGHT_ENDS = 6
SATURDAY = 5


class Status(StrEnum):
    """What is known of a profile group when the vector is built."""

    FRESH = "fresh"
    NEW = "new"  # the mart is fresh and has no row: a new or dormant entity, not degraded
    STALE = "stale"  # older than its time to live: missing, degraded
    FUTURE = "future"  # the row is of a day after the payment's: refused, degraded
    LATE = "late"  # the payment is older than its card's window can answer for: missing, degraded
    UNREACHABLE = "unreachable"  # the store did not answer: missing, degraded
    UNPRICED = "unpriced"  # of the payment itself: no exchange rate, so that its amount is missing, degraded
    ABSENT = "absent"  # the payment names no acceptor: missing at the source, not degraded


DEGRADED = (Status.STALE, Status.FUTURE, Status.LATE, Status.UNREACHABLE)
NOT_ATTEMPTS = frozenset({"refund", "reversal"})
"""Message types that bring money back: nobody decides about them, and no window counts them."""


class Profile(NamedTuple):
    """A group as found: status, and values in the order of its columns.

    Of a daily row also day since 1970 and version, for a new entity the newest of what was published; of a window the
    moment (UTC us) to which payments were observed.
    """

    status: Status
    values: tuple[float, ...] = ()
    day: int | None = None
    version: int | None = None
    at_us: int | None = None


class FeatureVector(NamedTuple):
    """All features of one payment, in the order of FEATURES, with what was found of each group that is looked up.

    is_utc: the place's own time is not known, so its hour is that of UTC.
    """

    values: tuple[float, ...]
    card: Profile
    acceptor: Profile
    window: Profile
    is_utc: bool = False

    def to_array(self) -> NDArray[np.float32]:
        """Return shape (len(FEATURES),), float32: the only way numbers reach a model."""
        return np.array(self.values, dtype=np.float32)

    @property
    def degraded(self) -> dict[str, str]:
        """Return the groups that should be there and are not, each with its status."""
        found = ((Group.CARD, self.card), (Group.ACCEPTOR, self.acceptor), (Group.WINDOW, self.window))
        missing = {group.value: profile.status.value for group, profile in found if profile.status in DEGRADED}
        if math.isnan(self.values[0]):
            missing[Group.TRANSACTION.value] = Status.UNPRICED.value
        return missing


def matrix(vectors: Sequence[FeatureVector]) -> NDArray[np.float32]:
    """Return the vectors as rows, shape (n, len(FEATURES)), float32."""
    return np.array([vector.values for vector in vectors], dtype=np.float32).reshape(-1, len(NAMES))


def build(payment: Mapping[str, Any], card: Profile, acceptor: Profile, window: Profile) -> FeatureVector:
    """Build the vector of a validated record from its card's and acceptor's profile and its card's window."""
    transaction = transaction_features(payment)
    card_values = card.values if card.status is Status.FRESH else blank(Group.CARD, card.status)
    acceptor_values = acceptor.values if acceptor.status is Status.FRESH else blank(Group.ACCEPTOR, acceptor.status)
    window_values = window.values if window.status is Status.FRESH else blank(Group.WINDOW, window.status)
    usual = card_values[AVERAGE_30D]
    ratio = transaction[0] / usual if usual > 0 else NAN
    values = (*transaction, *card_values, *acceptor_values, *window_values, ratio)
    return FeatureVector(values, card, acceptor, window, payment.get("utc_offset_min") is None)


def windowed(
    payment: Mapping[str, Any], window: Window, at_us: int | None = None, event: Event | None = None
) -> Profile:
    """Return what the card's window, empty for a card without one, says of a payment about to be made.

    `event`: the payment's observation, from whoever has it already.
    """
    values = window.features(event or observation(payment))
    return Profile(Status.LATE, at_us=at_us) if values is None else Profile(Status.FRESH, values, at_us=at_us)


def observe(window: Window, payment: Mapping[str, Any], event: Event | None = None) -> bool:
    """Take a payment into its card's window; False if it does not count: no attempt, a repeat, or too late."""
    return payment.get("message_type") not in NOT_ATTEMPTS and window.observe(event or observation(payment))


def observation(payment: Mapping[str, Any]) -> Event:
    """Return a validated record as windows keep it: exact, and without anything that names a person."""
    get = payment.get
    identity = f"{payment['source']}\x1f{payment['transaction_id']}".encode()
    money = NAN if get("message_type") == "verification" else amount(payment)
    latitude, longitude, mcc = get("latitude"), get("longitude"), get("mcc")
    place = None
    if latitude is not None and longitude is not None and CARD_PRESENT.get(get("entry_mode") or "") == 1:
        place = Place(round(latitude * 1_000_000), round(longitude * 1_000_000))
    return Event(
        payment["event_time"],
        int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), "big"),
        None if math.isnan(money) else round(money * windows.PARTS),
        place,
        mcc in HIGH_RISK_MCC if mcc else None,
    )


def transaction_features(payment: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the features of the payment itself; an absent field gives NaN, but local time falls back to UTC."""
    get = payment.get
    local_us = payment["event_time"] + (get("utc_offset_min") or 0) * 60 * SECOND_US
    hour = local_us % DAY_US // HOUR_US
    weekday = (local_us // DAY_US + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    minor = payment["amount_minor"]
    mcc = get("mcc")
    there, home = get("merchant_country"), get("card_country")
    return (
        amount(payment),
        float(hour),
        float(weekday >= SATURDAY),
        float(hour < NIGHT_ENDS),
        float(minor > 0 and minor % 10 ** (EXPONENT[payment["currency"]] + 1) == 0),
        CARD_PRESENT.get(get("entry_mode") or "", NAN),
        float(there != home) if there and home else NAN,
        float(bisect_right(MCC_GROUPS, int(mcc))) if mcc else NAN,
        float(mcc in HIGH_RISK_MCC) if mcc else NAN,
        STRONG.get(get("authentication") or "", NAN),
    )


def amount(payment: Mapping[str, Any]) -> float:
    """Return the payment's amount in the reporting currency, by the rate of its day, else NaN: it is unpriced.

    It is the billed amount where that can be converted, else the payment's own.
    """
    day = payment["event_time"] // DAY_US
    billed, currency = payment.get("billing_amount_minor"), payment.get("billing_currency")
    if billed is not None and currency is not None:
        found = to_reporting(billed, currency, EXPONENT[currency], day)
        if not math.isnan(found):
            return found
    return to_reporting(payment["amount_minor"], payment["currency"], EXPONENT[payment["currency"]], day)


def acceptor_id(payment: Mapping[str, Any]) -> str | None:
    """Return `source:acceptor`: merchant_id, else terminal_id, within its source, whose numbers are its own.

    A colon in the source is written %3A (and % is %25), so that two sources never share a name. Silver
    (staging/transactions.sql) and `lake.parity` write the same in SQL.
    """
    acceptor = payment.get("merchant_id") or payment.get("terminal_id")
    if not acceptor:
        return None
    source = payment["source"]
    if ":" in source or "%" in source:
        source = source.replace("%", "%25").replace(":", "%3A")
    return f"{source}:{acceptor}"


def profile_day(event_time_us: int) -> int:
    """Return the newest as_of_day (days since 1970) whose row is published at `event_time_us`."""
    return (event_time_us - definitions().publish_delay_hours * HOUR_US) // DAY_US


@cache
def blank(group: Group, status: Status) -> tuple[float, ...]:
    """Return a group's values when there are none: of a daily profile zero counts when new, else all NaN."""
    features = {Group.CARD: CARD, Group.ACCEPTOR: ACCEPTOR, Group.WINDOW: WINDOW}[group]
    if status is not Status.NEW:
        return (NAN,) * len(features)
    prior = definitions().fraud_prior
    return tuple(prior if f.name.startswith("merchant_risk") else WHEN_NEW.get(f.name, NAN) for f in features)


def schema_hash(features: Sequence[Feature] = FEATURES) -> str:
    """Return SHA-256 over name, type, unit, time to live and version of each feature, and the definitions they use."""
    lines = [[f.name, "float32", f.unit, f.ttl_s, f.version] for f in features]
    shared = definitions().model_dump(exclude={"maturity_days"})  # it defines labels, and no feature
    return hashlib.sha256(json.dumps([lines, shared], sort_keys=True).encode()).hexdigest()


SCHEMA_HASH = schema_hash()
