"""Dated exchange rates from the file that dbt seeds too: amounts of different currencies are never added."""

import csv
from bisect import bisect_right
from datetime import date
from functools import cache
from math import nan

from epoch import to_day
from settings import PROJECT_DIR, definitions

FILE = PROJECT_DIR / "dbt_project" / "seeds" / "exchange_rates.csv"


def to_reporting(minor: int, currency: str, exponent: int, day: int) -> float:
    """Convert minor units of `currency` to whole units of the reporting currency at `day` (days since 1970).

    The rate in force is the newest one dated `day` or before; NaN if there is none. Formula, the same in dbt's
    staging: (minor / 10^exponent) * rate, in float64.
    """
    whole: float = minor / 10**exponent
    if currency == definitions().reporting_currency:
        return whole
    days, rates = _table().get(currency, ((), ()))
    position = bisect_right(days, day)
    return whole * rates[position - 1] if position else nan


@cache
def _table() -> dict[str, tuple[tuple[int, ...], tuple[float, ...]]]:
    dated: dict[str, dict[int, float]] = {}
    with FILE.open(newline="") as lines:
        for row in csv.DictReader(lines):
            dated.setdefault(row["currency"], {})[to_day(date.fromisoformat(row["valid_from"]))] = float(row["rate"])
    return {name: (tuple(sorted(found)), tuple(found[day] for day in sorted(found))) for name, found in dated.items()}
