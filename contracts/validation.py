"""The one validation of a record, used by producer, Spark, stream scorer and `/predict` alike.

A rule applies to a value that is present; null is a breach only in a required field.
"""

import re
from collections.abc import Callable, Container, Mapping
from functools import cache
from typing import Any

import pycountry
from iso4217 import Currency

from contracts import schemas
from errors import CARD_LIKE, RejectedError

MINUTE_US = 60_000_000
FUTURE_US = 10 * MINUTE_US
OLDEST_US = 946_684_800_000_000  # 2000-01-01: before it, a wrong unit is likelier than a payment
LARGEST_AMOUNT = 10**11
"""Minor units. A thousand million of a two-decimal currency: above it, a wrong unit is likelier than a payment."""
LONGEST_ID = 64

CURRENCIES: Mapping[str, int] = {c.code: c.exponent for c in Currency if c.exponent is not None}
"""ISO 4217 code to its exponent, the number of decimals of its minor unit."""
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)
HASHED = re.compile(r"[0-9a-f]{64}").fullmatch
MCC = re.compile(r"[0-9]{4}").fullmatch
IDENTIFIERS = ("merchant_id", "terminal_id")
KEYED = ("account_id", "device_id")


@cache
def symbols(name: str) -> dict[str, frozenset[str]]:
    """Return the symbols of each enum field of our schema `name`."""
    found = {}
    for field in schemas.parsed(name)["fields"]:
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for kind in kinds:
            if isinstance(kind, dict) and kind["type"] == "enum":
                found[field["name"]] = frozenset(kind["symbols"])
    return found


@cache
def mandatory(name: str) -> tuple[str, ...]:
    """Return the fields of our schema `name` that have no default."""
    return tuple(field["name"] for field in schemas.parsed(name)["fields"] if "default" not in field)


def check_transaction(record: Mapping[str, Any], now_us: int) -> None:
    """Raise RejectedError for the first rule that a transaction breaks at `now_us` (UTC microseconds)."""
    get = record.get
    _identity(record)
    _time(record, "event_time", now_us)
    _card(record)
    amount = _required(record, "amount_minor", int)
    _amount("amount_minor", amount)
    if _required(record, "currency", str) not in CURRENCIES:
        raise RejectedError("unknown_currency", f"currency {_shown(record['currency'])} is not in ISO 4217")
    _enums(record, "transaction")
    if (offset := get("utc_offset_min")) is not None:
        _whole("utc_offset_min", offset)
        if not -14 * 60 <= offset <= 14 * 60:
            raise RejectedError("out_of_range", f"utc_offset_min {offset} is not within 14 hours")
    if (billed := get("billing_amount_minor")) is not None:
        _whole("billing_amount_minor", billed)
        _amount("billing_amount_minor", billed)
    if (currency := get("billing_currency")) is not None and not _among(currency, CURRENCIES):
        raise RejectedError("unknown_currency", f"billing_currency {_shown(currency)} is not in ISO 4217")
    for name in IDENTIFIERS:
        if (value := get(name)) is not None and not (isinstance(value, str) and 0 < len(value) <= LONGEST_ID):
            raise RejectedError("out_of_range", f"{name} must be text of 1 to {LONGEST_ID} characters")
    for name in KEYED:
        if (value := get(name)) is not None and not (isinstance(value, str) and HASHED(value)):
            raise RejectedError("card_not_hashed", f"{name} is not a keyed hash (64 lower-case hex digits)")
    if (mcc := get("mcc")) is not None and not (isinstance(mcc, str) and MCC(mcc)):
        raise RejectedError("out_of_range", "mcc must be four digits (ISO 18245)")
    for name in ("merchant_country", "card_country"):
        if (country := get(name)) is not None and not _among(country, COUNTRIES):
            raise RejectedError("unknown_country", f"{name} {_shown(country)} is not in ISO 3166-1 alpha-2")
    _place(get("latitude"), get("longitude"))


def check_label(record: Mapping[str, Any], now_us: int) -> None:
    """Raise RejectedError for the first rule that a label event breaks; it may be known only in the past."""
    _identity(record)
    for name in ("verdict", "origin"):
        _required(record, name, str)
    _time(record, "known_at", now_us)
    _enums(record, "label")


def check_decision(record: Mapping[str, Any], now_us: int) -> None:
    """Raise RejectedError for the first rule that a decision breaks; it may be made only in the past."""
    for name in mandatory("decision"):
        if record.get(name) is None:
            raise RejectedError("missing_field", f"{name} is required")
    _identity(record)
    _card(record)
    for name in ("event_time", "decided_at"):
        _time(record, name, now_us)
    _place_on_kafka(record)
    for name in ("vector", "payment"):
        _required(record, name, bytes)
    _enums(record, "decision")


def _place_on_kafka(record: Mapping[str, Any]) -> None:
    """A payment from Kafka has its place there; one that `/predict` took has none, and its decision an id instead."""
    places = {name: record.get(name) for name in ("payment_partition", "payment_offset")}
    if record.get("origin") == "api":
        _required(record, "decision_id", str)
        if any(place is not None for place in places.values()):
            raise RejectedError("out_of_range", "a payment of origin api has no place on Kafka")
        return
    for name in places:
        if (place := _required(record, name, int)) < 0:
            raise RejectedError("out_of_range", f"{name} is {place}; places on Kafka begin at 0")


Check = Callable[[Mapping[str, Any], int], None]
CHECKS: Mapping[str, Check] = {"transaction": check_transaction, "label": check_label, "decision": check_decision}
"""The check of each of our schemas."""


def _shown(value: object) -> str:
    """Return the beginning of a refused value for a reason; what may be a card number is masked before it is cut."""
    return repr(CARD_LIKE.sub("<digits>", str(value))[:12])


def _among(value: object, known: Container[str]) -> bool:
    """Tell whether `value` is one of `known`; a writer's schema of its own may bring what cannot even be looked up."""
    return isinstance(value, str) and value in known


def _card(record: Mapping[str, Any]) -> None:
    if not HASHED(_required(record, "card_id", str)):
        raise RejectedError("card_not_hashed", "card_id is not a keyed hash (64 lower-case hex digits)")


def _identity(record: Mapping[str, Any]) -> None:
    for name in ("source", "transaction_id"):
        if not 0 < len(_required(record, name, str)) <= LONGEST_ID:
            raise RejectedError("out_of_range", f"{name} must have 1 to {LONGEST_ID} characters")


def _required(record: Mapping[str, Any], name: str, kind: type) -> Any:
    value = record.get(name)
    if value is None:
        raise RejectedError("missing_field", f"{name} is required")
    if type(value) is not kind:
        raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _whole(name: str, value: object) -> None:
    if type(value) is not int:
        raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, not int")


def _amount(name: str, value: int) -> None:
    if value < 0:
        raise RejectedError("negative_amount", f"{name} is {value}; direction is told by message_type")
    if value > LARGEST_AMOUNT:
        raise RejectedError("absurd_amount", f"{name} is {value}, above {LARGEST_AMOUNT} minor units")


def _time(record: Mapping[str, Any], name: str, now_us: int) -> None:
    value = _required(record, name, int)
    if value > now_us + FUTURE_US:
        raise RejectedError("future_time", f"{name} is {(value - now_us) // MINUTE_US} minutes ahead of the clock")
    if value < OLDEST_US:
        raise RejectedError("out_of_range", f"{name} is before the year 2000: microseconds since 1970 are expected")


def _enums(record: Mapping[str, Any], name: str) -> None:
    for field, allowed in symbols(name).items():
        if (value := record.get(field)) is not None and not _among(value, allowed):
            raise RejectedError("unknown_enum", f"{field} {_shown(value)} is none of {', '.join(sorted(allowed))}")


def _place(latitude: object, longitude: object) -> None:
    if latitude is None and longitude is None:
        return
    for name, value, bound in (("latitude", latitude, 90), ("longitude", longitude, 180)):
        if type(value) not in (float, int):
            raise RejectedError("wrong_type", f"{name} is {type(value).__name__}; latitude and longitude come together")
        if not -bound <= value <= bound:  # type: ignore[operator]  # a NaN fails here too
            raise RejectedError("out_of_range", f"{name} {value} is not within {bound} degrees")
