"""Plays the history of the simulated world onto Kafka at full speed, with the labels known by its end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features import DAY_US
from ingestion.delays import Delay
from ingestion.producer import Sender
from ingestion.simulator import days, pending, verdicts
from ingestion.simulator.days import Day, Truth
from ingestion.simulator.injector import Injector
from ingestion.simulator.world import World

Advance = Callable[[int], None]
LONGEST_OFFSET_US = DAY_US * 14 // 24
"""A day's payments begin at most so long before its midnight in UTC."""
LABELS = 5
"""Which stream of random numbers draws a day's labels; the world and its days have 1 to 4."""


@dataclass
class Result:
    """What was played: the truth about the frauds, and how many labels were left for later."""

    truth: list[Truth] = field(default_factory=list)
    labels_later: int = 0


@dataclass(frozen=True)
class Plan:
    """How to play: share of frauds among payments, and the labels' delay (None: by origin)."""

    fraud_rate: float
    delay: Delay | None = None


def history(
    sender: Sender, injector: Injector, world: World, plan: Plan, start_us: int, end_us: int, advance: Advance
) -> Result:
    """Send every payment with start_us < event_time <= end_us in the order of time; later labels become pending.

    `advance` is called with the number of payments after each day. A day is drawn from its own seed, so a history
    sent twice sends the same payments, and an overlapping one the same where they overlap.
    """
    result = Result()
    waiting: list[dict[str, Any]] = []
    labels: list[verdicts.Label] = []
    last = (end_us + LONGEST_OFFSET_US) // DAY_US
    for day in range((start_us - LONGEST_OFFSET_US) // DAY_US - 1, last + 1):
        drawn = _cut(days.draw(world, day, plan.fraud_rate), start_us, end_us)
        result.truth += drawn.truth
        labels += verdicts.labels(np.random.default_rng([*world.key, LABELS, day]), drawn, plan.delay)
        settled = end_us if day == last else min(end_us, (day + 1) * DAY_US - LONGEST_OFFSET_US)
        waiting = sorted(waiting + drawn.records, key=lambda r: (r["event_time"], r["transaction_id"]))
        ready = [record for record in waiting if record["event_time"] <= settled]
        waiting = waiting[len(ready) :]
        sender.payments(ready)
        injector.inject(ready)
        labels.sort(key=lambda label: int(label["known_at"]))
        known = [label for label in labels if label["known_at"] <= settled]
        labels = labels[len(known) :]
        sender.labels(known)
        advance(len(ready))
    pending.put(labels)
    result.labels_later = len(labels)
    return result


def _cut(drawn: Day, start_us: int, end_us: int) -> Day:
    records = [record for record in drawn.records if start_us < record["event_time"] <= end_us]
    kept = {record["transaction_id"] for record in records}
    return Day(records, [truth for truth in drawn.truth if truth.transaction_id in kept])
