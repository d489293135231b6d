"""Cursors of pages: opaque to the caller, the last row's place in the order to us, so that new rows move nothing."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from serving.http.problems import ProblemError

LARGEST = 2**63 - 1
"""What a bigint holds."""


def pack(order: str, *place: Any) -> str:
    """Return the cursor of what comes after a row at `place`: values that JSON has, decimals as text."""
    values = [str(each) if isinstance(each, Decimal) else each for each in place]
    return base64.urlsafe_b64encode(orjson.dumps([order, *values])).decode().rstrip("=")


def unpack(order: str, cursor: str | None, *kinds: Callable[[Any], Any]) -> list[Any]:
    """Return the place, each part read by its kind; Nones without a cursor, ProblemError 422 if it is none of these."""
    if cursor is None:
        return [None] * len(kinds)
    try:
        given, *place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        expected = [_same(order), *kinds]
        return [kind(part) for kind, part in zip(expected, [given, *place], strict=True)][1:]
    except (binascii.Error, ValueError, TypeError, OverflowError, InvalidOperation) as error:
        reason = "is no cursor of this order; begin without one"
        wrong = [{"field": "cursor", "code": "bad_cursor", "reason": reason}]
        raise ProblemError(422, "bad_cursor", f"cursor {reason}", wrong) from error


def _same(order: str) -> Callable[[Any], Any]:
    def check(given: Any) -> Any:
        if given != order:
            raise ValueError("another order's")
        return given

    return check


def number(part: Any) -> int:
    """Read an id; ValueError if it cannot be one."""
    if type(part) is not int or not 0 <= part <= LARGEST:
        raise ValueError("no id")
    return part


def flag(part: Any) -> bool:
    """Read true or false; TypeError if it is neither."""
    if not isinstance(part, bool):
        raise TypeError("no flag")
    return part


def amount(part: Any) -> Decimal:
    """Read an amount that was packed; ValueError, InvalidOperation if it is none."""
    if not isinstance(part, str) or not (read := Decimal(part)).is_finite():
        raise ValueError("no amount")
    return read


def moment(part: Any) -> datetime:
    """Read a time in ISO 8601; ValueError if it is none."""
    return datetime.fromisoformat(text(part))


def text(part: Any) -> str:
    """Read an id in words; ValueError if it cannot be one."""
    if not isinstance(part, str) or "\0" in part:
        raise ValueError("no text")
    return part
