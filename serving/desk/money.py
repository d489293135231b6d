"""Money as the desk keeps and answers it: exact, in the reporting currency, with as many decimals as that has."""

from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from contracts.validation import CURRENCIES
from settings import definitions


@cache
def decimals() -> int:
    """Return how many decimals an amount in the reporting currency has."""
    return CURRENCIES[definitions().reporting_currency]


def exact(amount: float) -> Decimal | None:
    """Return an amount in the reporting currency, rounded to its decimals; None for NaN: there is no rate."""
    return Decimal(str(amount)).quantize(Decimal(1).scaleb(-decimals())) if isfinite(amount) else None


def text(amount: Decimal) -> str:
    """Return an amount as answers have it, such as 2333.82."""
    return f"{amount:.{decimals()}f}"


Money = Annotated[
    Decimal,
    PlainSerializer(text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["2333.82"]}),
]
"""In answers decimal text, for JSON's numbers are read as binary ones."""
