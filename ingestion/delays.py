"""How long after a payment its label becomes known: a constant, or a seeded distribution."""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from errors import InputError

UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
SIGMA = 0.5
"""Spread of the logarithm of a lognormal delay: two thirds of them within a factor 1.65 of the median."""
Delay = Callable[[np.random.Generator, int], NDArray[np.int64]]
FORM = re.compile(r"(?:(lognormal|exponential):)?(\d+(?:\.\d+)?)([smhd])")
DEFAULT = "7d"


def parse(text: str) -> Delay:
    """Return the function (rng, count) -> delays in microseconds that `text` describes.

    `7d` is constant; `lognormal:7d` has that median; `exponential:7d` has that mean. Units: s, m, h, d.
    """
    found = FORM.fullmatch(text)
    if not found:
        raise InputError(f"label delay {text!r}: give 7d, lognormal:7d or exponential:36h (units s, m, h, d)")
    kind, middle = found[1], float(found[2]) * UNIT_US[found[3]]
    if kind == "lognormal":
        return lambda rng, count: (middle * rng.lognormal(0.0, SIGMA, count)).astype(np.int64)
    if kind == "exponential":
        return lambda rng, count: rng.exponential(middle, count).astype(np.int64)
    return lambda _rng, count: np.full(count, int(middle), dtype=np.int64)
