"""Amounts in the reporting currency: exact for it, dated for others, missing without a rate."""

import csv
import math
from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rates import FILE, to_reporting
from settings import definitions

DAY_2024 = (date(2024, 3, 10) - date(1970, 1, 1)).days


def rows(currency: str) -> dict[date, float]:
    with FILE.open(newline="") as lines:
        return {
            date.fromisoformat(r["valid_from"]): float(r["rate"])
            for r in csv.DictReader(lines)
            if r["currency"] == currency
        }


@given(st.integers(0, 10**11), st.integers(0, 30_000))
def test_the_reporting_currency_is_itself(minor, day):
    """Nothing is converted that needs no conversion, on any day."""
    assert to_reporting(minor, definitions().reporting_currency, 2, day) == minor / 100


def test_the_rate_in_force_counts():
    """The newest rate dated that day or before is used, from its own day on."""
    found = sorted(rows("EUR").items())
    for (_, before), (start, rate) in pairwise(found):
        day = (start - date(1970, 1, 1)).days
        assert to_reporting(100, "EUR", 2, day) == 1.0 * rate
        assert to_reporting(100, "EUR", 2, day - 1) == 1.0 * before


def test_no_rate_is_missing():
    """Before the first rate, and for a currency without any, the amount is missing, never a guess."""
    first = (min(rows("EUR")) - date(1970, 1, 1)).days
    assert math.isnan(to_reporting(100, "EUR", 2, first - 1))
    assert math.isnan(to_reporting(100, "BHD", 3, DAY_2024))


def test_exponents():
    """A hundred yen are a hundred whole units, a hundred cents are one."""
    for currency, exponent in (("JPY", 0), ("EUR", 2)):
        rate = max((day, rate) for day, rate in rows(currency).items() if day <= date(2024, 3, 10))[1]
        assert to_reporting(100, currency, exponent, DAY_2024) == (100 / 10**exponent) * rate
