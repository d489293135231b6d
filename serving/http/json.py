"""JSON as money needs it: a number is exactly what was written, and no object says a name twice.

Other readers round what a double cannot hold, and let the last of two equal names win: what one program checked is
then not what the next one reads.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import jiter

LONGEST_WHOLE = 4_300
"""Digits that are still made an int: Python reads and writes no longer ones."""


@dataclass(frozen=True)
class Unfit:
    """Stands for an object that no model may see, and says why."""

    code: str
    reason: str


class MalformedError(ValueError):
    """The text is no JSON; the text itself is not repeated."""


def parse(text: bytes) -> Any:
    """Return what `text` (UTF-8) says: whole numbers as int, others as Decimal; MalformedError if it is no JSON.

    An object that says a name twice, or what is no Unicode, is Unfit; NaN, Infinity and endless digits are numbers
    here. Each is for its reader to refuse, so that one absurd item of a batch is refused alone.
    """
    try:
        return jiter.from_json(text, catch_duplicate_keys=True, float_mode="decimal", cache_mode="keys")
    except (ValueError, InvalidOperation):  # no JSON, or JSON of which one item only is absurd: a slower reader tells
        return _item_by_item(text)


def _item_by_item(text: bytes) -> Any:
    try:
        return json.loads(
            text.decode(), object_pairs_hook=_object, parse_float=_decimal, parse_int=_whole, parse_constant=Decimal
        )
    except (ValueError, RecursionError):
        raise MalformedError("the body is no JSON") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        return Unfit("repeated_field", f"{name} stands twice in one object")
    try:
        "".join(each for pair in pairs for each in pair if isinstance(each, str)).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return Unfit("malformed_json", "a text is no Unicode")
    return found


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent of twenty digits
        return Decimal("NaN")


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= LONGEST_WHOLE else Decimal(digits)
