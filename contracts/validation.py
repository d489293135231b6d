"""The one validation of a record, used by producer, Spark, stream scorer and `/predict` alike.

It judges a record that `cleaning` has brought into the contract's form, at the moment of the record's arrival.
"""

import re
from collections.abc import Callable, Container, Mapping
from functools import cache
from typing import Any

from contracts import schemas
from contracts.cleaning import CONTROL, DAY_US, LONGEST_ID, clean, symbols
from currencies import EXPONENT, was_money
from errors import CARD_LIKE, RejectedError

MINUTE_US = 60_000_000
FUTURE_US = 10 * MINUTE_US
OLDEST_US = 946_684_800_000_000  # 2000-01-01: before it, a wrong unit is likelier than a payment
LARGEST_WHOLE = 10**9
"""Whole units of a currency: above it, a wrong unit is likelier than a payment."""
SMALL_UNITS = frozenset("COP GNF IDR IRR KHR LAK LBP MGA MMK PYG SLL STD SYP UGX UZS VND ZMK".split())  # noqa: SIM905
"""Currencies of whose units a US dollar buys some thousands; a thousandfold of the bound is theirs."""
SMALL = 1_000

CURRENCIES = EXPONENT
"""ISO 4217 code, also of a withdrawn currency, to the number of decimals of its minor unit."""
HASHED = re.compile(r"[0-9a-f]{64}").fullmatch
KEYED = ("account_id", "device_id")
TRANSACTION_IDS = ("source", "transaction_id", "merchant_id", "terminal_id")
LABEL_IDS = DECISION_IDS = ("source", "transaction_id")
LARGEST: Mapping[str, int] = {
    code: LARGEST_WHOLE * 10**exponent * (SMALL if code in SMALL_UNITS else 1) for code, exponent in EXPONENT.items()
}
"""Currency to the largest amount in its minor units."""


@cache
def mandatory(name: str) -> tuple[str, ...]:
    """Return the fields of our schema `name` that have no default."""
    return tuple(field["name"] for field in schemas.parsed(name)["fields"] if "default" not in field)


def accept(record: Mapping[str, Any], name: str, now_us: int) -> dict[str, Any]:
    """Return a record that did not come from Kafka, copied, cleaned and checked; RejectedError if it is refused."""
    cleaned = clean(dict(record), name)
    CHECKS[name](cleaned, now_us)
    return cleaned


def check_transaction(record: Mapping[str, Any], arrived_us: int) -> None:
    """Raise RejectedError for the first rule that a cleaned transaction breaks at its arrival (UTC microseconds)."""
    _identity(record, TRANSACTION_IDS)
    _time(record, "event_time", arrived_us)
    _card(record)
    amount = _required(record, "amount_minor", int)
    _currency("currency", currency := _required(record, "currency", str), record["event_time"])
    _amount("amount_minor", amount, currency)
    if (billed := record.get("billing_amount_minor")) is not None:
        _amount("billing_amount_minor", billed, record.get("billing_currency") or currency)
    for name in KEYED:
        if (value := record.get(name)) is not None and not (isinstance(value, str) and HASHED(value)):
            raise RejectedError("card_not_hashed", f"{name} is not a keyed hash (64 lower-case hex digits)")


def check_label(record: Mapping[str, Any], arrived_us: int) -> None:
    """Raise RejectedError for the first rule that a label event breaks; it may be known only in the past."""
    _identity(record, LABEL_IDS)
    for name in ("verdict", "origin"):
        _required(record, name, str)
    _time(record, "known_at", arrived_us)
    check_enums(record, "label")


def check_decision(record: Mapping[str, Any], arrived_us: int) -> None:
    """Raise RejectedError for the first rule that a decision breaks; it may be made only in the past."""
    for name in mandatory("decision"):
        if record.get(name) is None:
            raise RejectedError("missing_field", f"{name} is required")
    _identity(record, DECISION_IDS)
    _card(record)
    for name in ("event_time", "decided_at"):
        _time(record, name, arrived_us)
    _place_on_kafka(record)
    for name in ("vector", "payment"):
        _required(record, name, bytes)
    check_enums(record, "decision")


def check_enums(record: Mapping[str, Any], name: str) -> None:
    """Raise RejectedError for the first symbol that an enum of our schema `name` does not have."""
    for field, allowed in symbols(name).items():
        if (value := record.get(field)) is not None and not _among(value, allowed):
            raise RejectedError("unknown_enum", f"{field} {_shown(value)} is none of {', '.join(sorted(allowed))}")


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


def _identity(record: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in ("source", "transaction_id"):
        if not 0 < len(_required(record, name, str)) <= LONGEST_ID:
            raise RejectedError(
                "out_of_range", f"{name} must have 1 to {LONGEST_ID} characters, blanks around it apart"
            )
    for name in names:
        value = record.get(name)
        if type(value) is str and not (value.isascii() and value.isprintable()) and CONTROL(value):
            raise RejectedError("control_character", f"{name} has a character that nobody can see; send it without")


def _required(record: Mapping[str, Any], name: str, kind: type) -> Any:
    value = record.get(name)
    if value is None:
        raise RejectedError("missing_field", f"{name} is required")
    if type(value) is not kind:
        raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _currency(name: str, code: str, time_us: int) -> None:
    if not was_money(code, time_us // DAY_US):
        raise RejectedError("unknown_currency", f"{name} {_shown(code)} was not in ISO 4217 on the payment's day")


def _amount(name: str, value: int, currency: str) -> None:
    if value < 0:
        raise RejectedError("negative_amount", f"{name} is {value}; direction is told by message_type")
    if value > (largest := LARGEST[currency]):
        raise RejectedError("absurd_amount", f"{name} is {value}, above {largest} minor units of {currency}")


def _time(record: Mapping[str, Any], name: str, arrived_us: int) -> None:
    value = _required(record, name, int)
    if value > arrived_us + FUTURE_US:
        ahead = (value - arrived_us) // MINUTE_US
        raise RejectedError("future_time", f"{name} is {ahead} minutes ahead of its arrival")
    if value < OLDEST_US:
        raise RejectedError("out_of_range", f"{name} is before the year 2000: microseconds since 1970 are expected")
