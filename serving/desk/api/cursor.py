"""Cursors of pages: opaque to the caller, the last row's place in the order to us, so that new rows move nothing."""

import base64
import binascii
from typing import Any

import orjson

from serving.desk.api.models import Order
from serving.http.problems import ProblemError


def pack(order: Order, *place: float) -> str:
    """Return the cursor of what comes after a row at `place`."""
    return base64.urlsafe_b64encode(orjson.dumps([order, *place])).decode().rstrip("=")


def unpack(order: Order, cursor: str | None) -> list[Any]:
    """Return the place, [None, None] without a cursor; ProblemError 422 if it is none of this order's."""
    if cursor is None:
        return [None, None]
    try:
        given, loss, number = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError):
        given, loss, number = None, None, None
    if given != order or not isinstance(loss, int | float) or not isinstance(number, int):
        reason = "is no cursor of this order; begin without one"
        wrong = [{"field": "cursor", "code": "bad_cursor", "reason": reason}]
        raise ProblemError(422, "bad_cursor", f"cursor {reason}", wrong)
    return [float(loss), number]
