"""Which currencies there were on a day, and the decimals of their minor units: ISO 4217 with its withdrawn codes."""

from collections.abc import Mapping
from datetime import date

from iso4217 import Currency

from epoch import to_day

IN_USE = {each.code: each.exponent for each in Currency if each.exponent is not None}
WITHDRAWN = {
    "ANG": (2, date(2025, 6, 30)),
    "BGN": (2, date(2025, 12, 31)),  # Council Regulation (EU) 2025/1407
    "BYR": (0, date(2017, 1, 1)),
    "CUC": (2, date(2021, 1, 1)),
    "EEK": (2, date(2010, 12, 31)),
    "HRK": (2, date(2023, 1, 14)),
    "LTL": (2, date(2014, 12, 31)),
    "LVL": (2, date(2013, 12, 31)),
    "MRO": (2, date(2018, 6, 30)),
    "SLL": (2, date(2023, 12, 31)),
    "STD": (2, date(2017, 12, 31)),
    "VEF": (2, date(2018, 8, 20)),
    "ZMK": (2, date(2013, 1, 1)),
    "ZWL": (2, date(2024, 8, 31)),
}
"""Withdrawn since 2010: decimals by ISO 4217, and the last day as money by CLDR 47, supplemental/currencyData."""

EXPONENT: Mapping[str, int] = IN_USE | {code: exponent for code, (exponent, _) in WITHDRAWN.items()}
"""Code, also of a withdrawn currency, to the number of decimals of its minor unit."""
LAST_DAY: Mapping[str, int] = {code: to_day(last) for code, (_, last) in WITHDRAWN.items() if code not in IN_USE}
"""Code that is no longer in ISO 4217 to its last day since 1970."""


def was_money(code: str, day: int) -> bool:
    """Tell whether `code` was a currency on `day` (since 1970, UTC); a last day ends a UTC day later in the west."""
    return code in IN_USE or day <= LAST_DAY.get(code, -2) + 1
