"""What the model does to whole thefts: at which payment each is first stopped, and what went through before.

A theft is what is known as fraud on one card without a pause of a day. After the first payment that is stopped a card
can be closed, so only what came before it is lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features import DAY_US
from ml.metrics import Flags, Floats, Integers

LENGTHS = (("1 payment", 1, 1), ("2 to 3", 2, 3), ("4 and more", 4, None))
DAYS = 30
"""Figures are of the test's last days, so many."""


@dataclass(frozen=True)
class Thefts:
    """Thefts of some length: how many, how many stopped, the median place (from 1) of the payment first stopped.

    `lost` is what went through before, as a share of what was tried. NaN where there is nothing to measure.
    """

    length: str
    thefts: int
    payments: int
    stopped: int
    stopped_at: float
    lost: float


def by_length(fraud: Flags, stopped: Flags, card: Integers, time_us: Integers, amount: Floats) -> tuple[Thefts, ...]:
    """Return a line for each of LENGTHS; all arrays have shape (n,), amounts are in the reporting currency."""
    found = list(_thefts(fraud, card, time_us))
    return tuple(
        _line(name, [each for each in found if fewest <= len(each) <= (most or len(each))], stopped, amount)
        for name, fewest, most in LENGTHS
    )


def _thefts(fraud: Flags, card: Integers, time_us: Integers) -> Iterator[Integers]:
    """Yield the places of each theft's payments, in order."""
    at = np.flatnonzero(fraud)
    at = at[np.lexsort((time_us[at], card[at]))]
    begins = np.flatnonzero(np.r_[True, (np.diff(card[at]) != 0) | (np.diff(time_us[at]) > DAY_US)]) if len(at) else at
    for first, end in pairwise([*begins.tolist(), len(at)]):
        yield at[first:end]


def _line(name: str, thefts: list[Integers], stopped: Flags, amount: Floats) -> Thefts:
    first = [int(np.argmax(stopped[each])) if stopped[each].any() else len(each) for each in thefts]
    caught = [place + 1 for place, each in zip(first, thefts, strict=True) if place < len(each)]
    tried = sum(float(np.nansum(amount[each])) for each in thefts)
    lost = sum(float(np.nansum(amount[each[:place]])) for place, each in zip(first, thefts, strict=True))
    return Thefts(
        name,
        len(thefts),
        sum(map(len, thefts)),
        len(caught),
        float(np.median(caught)) if caught else np.nan,
        lost / tried if tried else np.nan,
    )
