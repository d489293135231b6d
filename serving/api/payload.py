"""A payment as an integrator has it, and the transaction record it stands for."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Required

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from contracts.cleaning import symbols
from contracts.identity import keyed_hash
from contracts.validation import CURRENCIES, accept, check_enums
from errors import RejectedError
from serving import metrics
from serving.config import LARGEST_BATCH
from serving.http import problems

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MOST_DIGITS = 20
ALIASES = {f"3ds_{name}": f"three_ds_{name}" for name in ("frictionless", "challenge", "attempt")}
CardNumber = Annotated[str, StringConstraints(pattern=r"^[0-9](?:[ -]?[0-9]){11,18}$")]
Hashed = Annotated[str | None, Field(description="keyed hash, 64 hex digits")]


def _text(description: str, **extra: Any) -> Any:
    return Field(description=description, json_schema_extra=extra or None)


class Payment(TypedDict, total=False):
    """A payment to decide on. Required: source, transaction_id, event_time, currency, one card field, one amount field.

    Everything else may be left out or null. No aggregates are sent: the platform knows the card and the acceptor.
    """

    __pydantic_config__ = {"strict": True, "extra": "forbid", "allow_inf_nan": False}  # type: ignore[misc]  # noqa: RUF012

    source: Required[Annotated[str, _text("tenant or acquirer")]]
    transaction_id: Required[Annotated[str, _text("unique within source, at most 64 characters")]]
    event_time: Required[Annotated[AwareDatetime | int, _text("ISO 8601 with offset, or microseconds since 1970, UTC")]]
    currency: Required[Annotated[str, _text("ISO 4217")]]
    card_id: Annotated[str | None, _text("the card's keyed hash; or send card_number")]
    card_number: Annotated[CardNumber | None, _text("hashed before anything else sees it, never stored or logged")]
    amount: Annotated[Decimal | None, _text("whole units, as text to keep cents exact; or send amount_minor")]
    amount_minor: Annotated[int | None, _text("minor units of currency (cents)")]
    utc_offset_min: Annotated[int | None, _text("the place's local time, minutes from UTC")]
    message_type: Annotated[str | None, _text("authorization when left out")]
    account_id: Hashed
    billing_amount_minor: int | None
    billing_currency: str | None
    merchant_id: Annotated[str | None, _text("DE42; with terminal_id, the acceptor")]
    terminal_id: Annotated[str | None, _text("DE41")]
    mcc: Annotated[str | None, _text("four digits, ISO 18245")]
    merchant_country: Annotated[str | None, _text("ISO 3166-1 alpha-2")]
    card_country: Annotated[str | None, _text("the issuer's country, ISO 3166-1 alpha-2")]
    latitude: Annotated[float | None, _text("WGS84, of the acceptance point")]
    longitude: float | None
    entry_mode: Annotated[
        str | None, _text("how the card was read", enum=[*sorted(symbols("transaction")["entry_mode"]), None])
    ]
    authentication: Annotated[
        str | None,
        _text("how the holder was verified", enum=[*sorted(symbols("transaction")["authentication"]), *ALIASES, None]),
    ]
    device_id: Hashed
    observe: Annotated[
        bool | None, _text("also put the payment on Kafka, for the card's window and the lake; then not yet there")
    ]
    explain: Annotated[bool | None, _text("give reasons for an approval too; what is not approved has them anyway")]


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


def payment_schema() -> dict[str, Any]:
    """Return the JSON schema of one payment."""
    return _payment.json_schema()


def batch_schema() -> dict[str, Any]:
    """Return the JSON schema of a batch."""
    schema = _batch.json_schema()
    schema["properties"]["payments"]["items"] = payment_schema()
    return schema


def read(body: bytes, key: bytes) -> Request:
    """Return what a request's body asks; ProblemError 422 says what is wrong.

    `key` makes the card's hash out of a card number.
    """
    try:
        payment = _payment.validate_json(body)
    except ValidationError as error:
        raise problems.of_types(error) from None  # the cause holds the body, and perhaps a card number
    observe, explain = bool(payment.pop("observe", None)), bool(payment.pop("explain", None))
    return Request(_checked(payment, key), observe, explain)


def split(body: bytes) -> list[Any]:
    """Return the payments of a batch's body, not yet validated; ProblemError 422 if it is no batch."""
    try:
        return _batch.validate_json(body)["payments"]
    except ValidationError as error:
        raise problems.of_types(error) from None


def _checked(payment: Payment, key: bytes) -> dict[str, Any]:
    try:
        built = _record(payment, key)
        check_enums(built, "transaction")  # the description of the door lists its symbols; Kafka's writers may be newer
        built = accept(built, "transaction", time.time_ns() // 1000)
    except RejectedError as error:
        raise problems.of_value(error) from None
    for name in built.pop("extra", ()):
        metrics.UNREADABLE.labels(name).inc()
    return built


def _record(payment: Payment, key: bytes) -> dict[str, Any]:
    built: dict[str, Any] = {name: value for name, value in payment.items() if value is not None}
    event_time = payment["event_time"]
    if isinstance(event_time, datetime):
        built["event_time"] = (event_time - EPOCH) // MICROSECOND
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
    if (said := built.get("authentication")) in ALIASES:
        built["authentication"] = ALIASES[said]
    built.setdefault("message_type", "authorization")
    return built


def _minor(whole: Decimal, currency: str) -> int:
    exponent = CURRENCIES.get(currency)
    if exponent is None:
        raise RejectedError("unknown_currency", f"currency {currency[:8]!r} is not in ISO 4217")
    if abs(whole.adjusted()) > MOST_DIGITS:
        raise RejectedError("absurd_amount", "amount has more than 20 digits")
    minor = whole.scaleb(exponent)
    if minor != minor.to_integral_value():
        raise RejectedError("out_of_range", f"amount has more than the {exponent} decimals of {currency}")
    return int(minor)
