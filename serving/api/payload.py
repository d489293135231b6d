"""A payment as an integrator has it, and the transaction record it stands for."""

import re
import time
from datetime import datetime
from decimal import Decimal
from math import inf, isinf
from typing import Annotated, Any, NamedTuple, Required

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema
from typing_extensions import TypedDict

from contracts.cleaning import LONGEST_ID, symbols
from contracts.identity import keyed_hash
from contracts.validation import CURRENCIES, LARGEST, OLDEST_US, accept, check_enums
from epoch import to_us
from errors import RejectedError
from features import NOT_ATTEMPTS
from serving import metrics
from serving.config import LARGEST_BATCH
from serving.http import json, problems

MOST_DIGITS = 20
"""Of an amount's whole units: far above what the contract takes."""
LARGEST_LONG = 2**63 - 1
MOST_DECIMALS = max(CURRENCIES.values())
ALIASES = {f"3ds_{name}": f"three_ds_{name}" for name in ("frictionless", "challenge", "attempt")}
WHOLE = ("event_time", "amount_minor", "utc_offset_min", "billing_amount_minor")
COORDINATES = ("latitude", "longitude")
SET_ASIDE = (
    "message_type refund or reversal is not decided: it brings money back, so let it pass; on transactions.raw it is "
    "taken for the lake"
)
DECIDED = sorted(symbols("transaction")["message_type"] - NOT_ATTEMPTS)
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?").fullmatch
CARD_NUMBER = "^[0-9](?:[ -]?[0-9]){11,18}$"
CardNumber = Annotated[str, StringConstraints(pattern=CARD_NUMBER)]


def _text(description: str, **schema: Any) -> Any:
    """Describe a required field: what the contract asks of its value, in the words of JSON Schema."""
    return WithJsonSchema({"type": "string", "description": description, **schema})


def _maybe(description: str, kind: str = "string", **schema: Any) -> Any:
    """Describe a field that may also be null."""
    return WithJsonSchema({"anyOf": [{"type": kind, **schema}, {"type": "null"}], "description": description})


LARGEST_AMOUNT = max(LARGEST.values())
"""Minor units that any currency may have at most; most have less."""
SEEN = r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]*$"
"""Text without characters that nobody sees (`cleaning.CONTROL`)."""
ID: dict[str, Any] = {"minLength": 1, "maxLength": LONGEST_ID, "pattern": SEEN}
HASHED: dict[str, Any] = {"pattern": "^[0-9a-f]{64}$"}
MINOR: dict[str, Any] = {"kind": "integer", "minimum": 0, "maximum": LARGEST_AMOUNT}
CODE: dict[str, Any] = {"enum": sorted(CURRENCIES)}
READ = "; a value that cannot be read counts as left out, for a payment is not refused for it"
TIME = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": OLDEST_US}],
    "description": "RFC 3339 with an offset, or microseconds since 1970, UTC; from 2000 to ten minutes from now. The "
    "offset names the instant only: the place's local time is utc_offset_min",
}
AMOUNT = {
    "anyOf": [
        {"type": "string", "pattern": rf"^[0-9]{{1,{MOST_DIGITS}}}(\.[0-9]{{1,{MOST_DECIMALS}}}0*)?$"},
        {"type": "number", "minimum": 0, "maximum": LARGEST_AMOUNT},
        {"type": "null"},
    ],
    "description": "whole units, with no more decimals than the currency has, at most "
    f"{LARGEST_AMOUNT:,} minor units; text keeps it exact on its way; or send amount_minor",
}


class Payment(TypedDict, total=False):
    """A payment to decide on. Required: source, transaction_id, event_time, currency, one card field, one amount field.

    Everything else may be left out or null. No aggregates are sent: the platform knows the card and the acceptor.
    """

    __pydantic_config__ = {"strict": True, "extra": "forbid", "allow_inf_nan": False}  # type: ignore[misc]  # noqa: RUF012

    source: Required[Annotated[str, _text("tenant or acquirer", **ID)]]
    transaction_id: Required[Annotated[str, _text("unique within source", **ID)]]
    event_time: Required[Annotated[str | int | Decimal, WithJsonSchema(TIME)]]
    currency: Required[Annotated[str, _text("ISO 4217", **CODE)]]
    card_id: Annotated[str | None, _maybe("the card's keyed hash, 64 hex digits; or send card_number", **HASHED)]
    card_number: Annotated[
        CardNumber | None,
        _maybe("hashed before anything else sees it, never stored or logged", pattern=CARD_NUMBER),
    ]
    amount: Annotated[str | int | Decimal | None, WithJsonSchema(AMOUNT)]
    amount_minor: Annotated[int | Decimal | None, _maybe("minor units of currency (cents)", **MINOR)]
    utc_offset_min: Annotated[
        int | Decimal | None,
        _maybe("the place's local time, minutes from UTC" + READ, "integer"),
    ]
    message_type: Annotated[
        str | None,
        _maybe("authorization when left out; refunds and reversals are not decided (422 set_aside)", enum=DECIDED),
    ]
    account_id: Annotated[str | None, _maybe("keyed hash, 64 hex digits", **HASHED)]
    billing_amount_minor: Annotated[int | Decimal | None, _maybe("minor units of billing_currency", **MINOR)]
    billing_currency: Annotated[str | None, _maybe("ISO 4217" + READ)]
    merchant_id: Annotated[str | None, _maybe("DE42; with terminal_id, the acceptor" + READ, pattern=SEEN)]
    terminal_id: Annotated[str | None, _maybe("DE41" + READ, pattern=SEEN)]
    mcc: Annotated[str | None, _maybe("ISO 18245, four digits" + READ)]
    merchant_country: Annotated[str | None, _maybe("ISO 3166-1 alpha-2" + READ)]
    card_country: Annotated[str | None, _maybe("the issuer's country, ISO 3166-1 alpha-2" + READ)]
    latitude: Annotated[int | Decimal | None, _maybe("WGS84, of the acceptance point, with longitude" + READ, "number")]
    longitude: Annotated[int | Decimal | None, _maybe("WGS84, with latitude" + READ, "number")]
    entry_mode: Annotated[
        str | None, _maybe("how the card was read", enum=sorted(symbols("transaction")["entry_mode"]))
    ]
    authentication: Annotated[
        str | None,
        _maybe("how the holder was verified", enum=sorted({*symbols("transaction")["authentication"], *ALIASES})),
    ]
    device_id: Annotated[str | None, _maybe("keyed hash, 64 hex digits", **HASHED)]
    observe: Annotated[
        bool | None,
        _maybe("also put the payment on Kafka, for the card's window and the lake; then not yet there", "boolean"),
    ]
    explain: Annotated[
        bool | None,
        _maybe("give reasons for an approval too; what is not approved has them anyway", "boolean"),
    ]


class Request(NamedTuple):
    """What a caller asks: the validated transaction record, whether to observe it, and whether to explain anyway."""

    record: dict[str, Any]
    observe: bool
    explain: bool


class Batch(TypedDict):
    """Several payments at once; each is answered by itself."""

    __pydantic_config__ = {"strict": True, "extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012

    payments: Annotated[list[Any], Field(min_length=1, max_length=LARGEST_BATCH)]


_payment = TypeAdapter(Payment)
_batch = TypeAdapter(Batch)


def _one_of(first: str, second: str) -> dict[str, Any]:
    """Return the schema by which one of two fields must stand, and the other be left out or null."""
    null = {"type": "null"}
    return {
        "oneOf": [
            {"required": [here], "properties": {here: {"not": null}, there: null}}
            for here, there in ((first, second), (second, first))
        ]
    }


def payment_schema() -> dict[str, Any]:
    """Return the JSON schema of one payment: what it allows is decided, but for times ahead and decimals too many."""
    pairs = [_one_of("card_id", "card_number"), _one_of("amount", "amount_minor")]
    return _payment.json_schema() | {"allOf": pairs}


def batch_schema(payment: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a batch; `payment`: the schema, or a reference to the schema, of one payment."""
    schema = _batch.json_schema()
    anything = {"description": "anything else is answered in its place: status 422, and what is wrong with it"}
    schema["properties"]["payments"]["items"] = {"anyOf": [payment, anything]}
    return schema


def read(body: bytes, key: bytes) -> Request:
    """Return what a request's body asks; ProblemError 422 says what is wrong.

    `key` makes the card's hash out of a card number.
    """
    return read_item(_parsed(body), key)


def read_item(item: Any, key: bytes) -> Request:
    """Return what one payment of a batch, as `split` gave it, asks; the same verdict as `read` has on its text."""
    _fit(item)
    try:
        payment = _payment.validate_python(item)
    except ValidationError as error:
        raise problems.of_types(error) from None  # the cause holds the body, and perhaps a card number
    observe, explain = bool(payment.pop("observe", None)), bool(payment.pop("explain", None))
    return Request(_checked(payment, key), observe, explain)


def split(body: bytes) -> list[Any]:
    """Return the payments of a batch's body, parsed and not yet validated; ProblemError 422 if it is no batch."""
    whole = _parsed(body)
    _fit(whole)
    try:
        return _batch.validate_python(whole)["payments"]
    except ValidationError as error:
        raise problems.of_types(error) from None


def _parsed(body: bytes) -> Any:
    try:
        return json.parse(body)
    except json.MalformedError as error:
        raise problems.of_body("malformed_json", str(error)) from None


def _fit(item: Any) -> None:
    if isinstance(item, json.Unfit):
        raise problems.of_body(item.code, item.reason)


def _checked(payment: Payment, key: bytes) -> dict[str, Any]:
    try:
        built = _record(payment, key)
        check_enums(built, "transaction")  # the description of the door lists its symbols; Kafka's writers may be newer
        built = accept(built, "transaction", time.time_ns() // 1000)
    except RejectedError as error:
        raise problems.of_value(error) from None
    for name in built.pop("extra", ()):
        metrics.UNREADABLE.labels(name).inc()
    if built["message_type"] in NOT_ATTEMPTS:
        raise problems.of_value(RejectedError("set_aside", SET_ASIDE))
    return built


def _record(payment: Payment, key: bytes) -> dict[str, Any]:
    built: dict[str, Any] = {name: value for name, value in payment.items() if value is not None}
    if isinstance(time_ := built["event_time"], str):
        built["event_time"] = _instant(time_)
    number = built.pop("card_number", None)
    if (number is None) == ("card_id" not in built):
        code = "missing_field" if number is None else "ambiguous"
        raise RejectedError(code, "card_id or card_number is required, one of the two")
    if number is not None:
        built["card_id"] = keyed_hash(key, number)
    whole = built.pop("amount", None)
    if (whole is None) == ("amount_minor" not in built):
        code = "missing_field" if whole is None else "ambiguous"
        raise RejectedError(code, "amount or amount_minor is required, one of the two")
    if whole is not None:
        built["amount_minor"] = _minor(whole, payment["currency"])
    for name in WHOLE:
        if isinstance(value := built.get(name), Decimal):
            built[name] = _whole(name, value)
    for name in COORDINATES:
        if name in built:
            built[name] = _degrees(name, built[name])
    if (named := built.get("authentication")) in ALIASES:
        built["authentication"] = ALIASES[named]
    built.setdefault("message_type", "authorization")
    return built


def _instant(text: str) -> int:
    """Return microseconds since 1970 (UTC) of an RFC 3339 time; finer digits are cut off."""
    if RFC_3339(text):
        try:
            return to_us(datetime.fromisoformat(text.upper()))
        except ValueError:  # a 30th of February, a 25th hour, a leap second
            pass
    raise RejectedError("wrong_type", f"event_time {problems.REASONS['event_time']}")


def _minor(whole: str | int | Decimal, currency: str) -> int:
    """Return an amount in minor units, exactly; RejectedError if it has more digits or decimals than money has."""
    exponent = CURRENCIES.get(currency)
    if exponent is None:
        raise RejectedError("unknown_currency", f"currency {currency[:8]!r} is not in ISO 4217")
    text = whole if isinstance(whole, str) else _plain(whole)
    written = NUMBER(text)
    if not written:
        raise RejectedError("wrong_type", f"amount {problems.REASONS['amount']}")
    sign, units, decimals = written.groups("")
    if len(units) > MOST_DIGITS:
        raise RejectedError("absurd_amount", f"amount has more than {MOST_DIGITS} digits")
    if decimals[exponent:].strip("0"):
        raise RejectedError("out_of_range", f"amount has more than the {exponent} decimals of {currency}")
    return int(sign + units + decimals[:exponent].ljust(exponent, "0"))


def _plain(number: int | Decimal) -> str:
    """Return a JSON number as digits, without an exponent."""
    if abs(Decimal(number).adjusted()) > MOST_DIGITS:
        raise RejectedError("absurd_amount", f"amount has more than {MOST_DIGITS} digits")
    return format(number, "f" if isinstance(number, Decimal) else "d")


def _whole(name: str, number: Decimal) -> int:
    """Return a whole number that was written with a point or an exponent: 60.0 is an integer in JSON Schema."""
    if abs(number) > LARGEST_LONG or number != number.to_integral_value():
        raise RejectedError("wrong_type", f"{name} must be a whole number")
    return int(number)


def _degrees(name: str, value: int | Decimal) -> float:
    try:
        degrees = float(value)
    except OverflowError:
        degrees = inf
    if isinf(degrees):
        raise RejectedError("out_of_range", f"{name} is no number of degrees")
    return degrees
