"""What a card's window costs: asked and then observed, one payment at a time as the stream does, and its bytes."""

import random
from collections.abc import Sequence
from time import perf_counter

import numpy as np

import features
from bench.figures import Figure, Section, at_least
from bench.load import payments
from bench.load.payments import Payment, Sample
from features import DAY_US, Window

CARDS = 1_500
A_DAY = 2_500
"""Payments a day of so many cards."""
DAYS = 30
UNEVEN = 1.0
"""Standard deviation of the logarithm of a card's payments a day: a few cards pay very often."""
FULL = 512
"""Most events that a window holds."""


def measure(runs: int = 5, days: int = DAYS) -> Section:
    """Take `days` of payments in order through all cards' windows; then a card that pays a thousand times a day."""
    found = payments.sample()
    history, busy = habits(found, days), one_card(found, 4 * FULL)
    rates, full = [], []
    windows: dict[str, Window] = {}
    for _ in range(runs):
        windows = {}
        rates.append(observed(history, windows))
        one: dict[str, Window] = {}
        observed(busy[:FULL], one)
        full.append(observed(busy[FULL:], one))
    sizes = [len(window.pack()) for window in windows.values()]
    note = f"{len(history):,} payments of {len(windows):,} cards in {days} days, one core"
    return Section(
        "Windows",
        [
            Figure("features, then observe", "payments/s", rates, at_least(25_000), note),
            Figure("the same for a card whose window is full", "payments/s", full, None, f"{FULL} events"),
            Figure(
                "a card packed, median", "bytes", [float(np.median(sizes))], None, "at the end; a few more in Redis"
            ),
            Figure("a card packed, largest", "bytes", [float(max(sizes))]),
        ],
    )


def habits(found: Sample, days: int, seed: int = 0) -> list[Payment]:
    """Return payments of `days` up to the newest of the sample, in order, by cards that pay more or less often."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    batch = payments.to_send(found, days * A_DAY, seed)
    cards = [f"{number:064x}" for number in range(CARDS)]
    weights = [rng.lognormvariate(0, UNEVEN) for _ in cards]
    owners = rng.choices(cards, weights, k=len(batch))
    times = sorted(found.newest_us - rng.randrange(days * DAY_US) for _ in batch)
    return [
        payment | {"card_id": card, "event_time": time_us}
        for payment, card, time_us in zip(batch, owners, times, strict=True)
    ]


def one_card(found: Sample, count: int) -> list[Payment]:
    """Return payments of one card that has twice as many a day as a window holds."""
    step_us = DAY_US // (2 * FULL)
    begin_us = found.newest_us - count * step_us
    return [
        payment | {"card_id": "0" * 64, "event_time": begin_us + number * step_us}
        for number, payment in enumerate(payments.to_send(found, count))
    ]


def observed(history: Sequence[Payment], windows: dict[str, Window]) -> float:
    """Ask each payment's window what it says and then take the payment in; return payments/s."""
    started = perf_counter()
    for payment in history:
        window = windows.get(payment["card_id"])
        if window is None:
            window = windows[payment["card_id"]] = Window()
        features.windowed(payment, window)
        features.observe(window, payment)
    return len(history) / (perf_counter() - started)
