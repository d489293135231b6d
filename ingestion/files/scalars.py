"""One cell of a user's file into one value of ours: amounts, times, numbers; exact, or refused with the reason."""

from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from contracts.validation import CURRENCIES
from epoch import to_us
from ingestion.files.mapping import FieldMap

ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}
LARGEST = 1 << 62
USUAL_EXPONENT = 2
UNIX = {"unix_s": 1_000_000, "unix_ms": 1_000, "unix_us": 1}
Convert = Callable[[str], Any]


def minor_units(text: str, currency: str | None, field: FieldMap) -> int:
    """Return an amount as minor units of `currency`, exactly; ValueError says why not.

    A currency that is not in ISO 4217 is taken to have two decimals: the validation refuses it later, by its own name.
    """
    number = _decimal(text.replace(",", ".") if field.decimal_mark == "," else text)
    if field.unit == "major":
        number = number.scaleb(CURRENCIES.get(currency or "", USUAL_EXPONENT))
    if field.rounding:
        number = number.quantize(Decimal(1), ROUNDINGS[field.rounding])
    if number != number.to_integral_value():
        raise ValueError(f"{text!r} has more decimals than {currency} has; `rounding: half_even` would accept it")
    return _bounded(int(number))


def unix_time(text: str, unit_us: int) -> int:
    """Return microseconds from a number of seconds, milliseconds or microseconds since 1970; fractions are exact."""
    number = _decimal(text) * unit_us
    if number != number.to_integral_value():
        raise ValueError(f"{text!r} is finer than a microsecond")
    return _bounded(int(number))


def written_time(text: str, pattern: str | None, zone: ZoneInfo) -> int:
    """Return microseconds of an ISO 8601 time, or one written by a strptime `pattern`; `zone` if it has no offset."""
    try:
        found = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)  # noqa: DTZ007 - zone below
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time like {pattern or '2024-05-01T12:34:56'}") from error
    return to_us(found if found.tzinfo else found.replace(tzinfo=zone))


def integer(text: str) -> int:
    """Return a whole number."""
    number = _decimal(text)
    if number != number.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number")
    return _bounded(int(number))


def floating(text: str) -> float:
    """Return a number in floating point."""
    return float(_decimal(text))


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error
    if not number.is_finite():
        raise ValueError(f"{text!r} is not a number")
    if number.adjusted() > 30:  # far beyond LARGEST: the integer is never built
        raise ValueError(f"{text!r} is too large")
    return number


def _bounded(number: int) -> int:
    if abs(number) > LARGEST:
        raise ValueError(f"{number} is too large")
    return number
