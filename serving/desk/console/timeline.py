"""A card's payments as a drawing: one bar each in their order, with the time between them in words.

In order, not to scale: six payments in five minutes after a day of nothing would be one line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from serving.desk.api.models import Payment

STEP, BAR = 44, 22
HEIGHT, BASE, TOP = 208, 150, 26
LONG_S = 3_600
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Bar:
    """One payment in the drawing; `gap` is the time since the one before, `is_long` if that was over an hour."""

    payment: Payment
    x: int
    y: float
    height: float
    gap: str
    is_long: bool
    is_here: bool
    middle: int


@dataclass(frozen=True)
class Timeline:
    """The drawing; all lengths in the units of its view box."""

    bars: list[Bar]
    width: int
    height: int = HEIGHT
    base: int = BASE
    bar: int = BAR


def draw(payments: Sequence[Payment], alert_id: int | None) -> Timeline:
    """Return the drawing of payments, oldest first; those of the alert are marked."""
    largest = max((float(payment.amount or 0) for payment in payments), default=0.0) or 1.0
    bars = []
    for index, payment in enumerate(payments):
        # The root keeps a payment of 3 visible beside one of 900.
        height = max(3.0, (BASE - TOP) * sqrt(float(payment.amount or 0) / largest))
        since = (payment.event_time - payments[index - 1].event_time).total_seconds() if index else 0.0
        x = 14 + index * STEP
        bars.append(
            Bar(
                payment,
                x,
                round(BASE - height, 1),
                round(height, 1),
                span(since) if index else "",
                since > LONG_S,
                alert_id is not None and payment.alert_id == alert_id,
                x + BAR // 2,
            )
        )
    return Timeline(bars, max(28 + len(payments) * STEP - (STEP - BAR), 200))


def span(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    size, unit = next((each for each in UNITS if abs(seconds) >= each[0]), UNITS[-1])
    return f"{seconds / size:.0f} {unit}"
