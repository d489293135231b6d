"""Plays the present of the simulated world onto Kafka at a steady rate, with the labels that fall due meanwhile."""

import heapq
import time
from itertools import count

import numpy as np

from ingestion.producer import Sender
from ingestion.simulator import days, frauds, payments, pending, verdicts
from ingestion.simulator.days import NO_DIGITS, Day, letter_id
from ingestion.simulator.frauds import FraudDrafts
from ingestion.simulator.history import Advance, Plan, Result
from ingestion.simulator.injector import Injector
from ingestion.simulator.payments import Drafts
from ingestion.simulator.world import RHYTHMS, Floats, World

TICK_S = 0.05
PENDING_EVERY_S = 2.0
WARM_US = 30 * 60_000_000
"""Episodes that began so long before the run are drawn too, so that its share of fraud is right from the start."""
HOUR_US = 3_600_000_000
Scheduled = tuple[int, int, str, str, Drafts]
"""A fraudulent payment to come: UTC microseconds, a number that settles ties, pattern, episode, and the one draft."""


def live(
    sender: Sender,
    injector: Injector,
    world: World,
    plan: Plan,
    tps: float,
    seconds: float | None,
    advance: Advance,
    result: Result,
) -> None:
    """Send `tps` messages a second with event times of now, for `seconds` (None: until Ctrl-C).

    The rate holds on average: a tick that comes late sends what is due by the clock. `advance` gets each tick's
    count, `result` is filled as it goes.
    """
    present = Present(world, plan, tps * (1 - injector.share), time.time_ns() // 1_000)
    later: list[verdicts.Label] = []
    looked, started = 0.0, time.monotonic()
    try:
        while seconds is None or time.monotonic() - started < seconds:
            tick = time.monotonic()
            now_us = time.time_ns() // 1_000
            drawn = present.until(now_us)
            sender.payments(drawn.records)
            injector.inject(drawn.records)
            result.truth += drawn.truth
            later += verdicts.labels(present.rng, drawn, plan.delay)
            due = [label for label in later if label["known_at"] <= now_us]
            if tick - looked > PENDING_EVERY_S:
                looked = tick
                due += pending.take(now_us)
            if due:
                later = [label for label in later if label["known_at"] > now_us]
                sender.labels(sorted(due, key=lambda label: int(label["known_at"])))
            sender.poll()
            advance(len(drawn.records))
            time.sleep(max(0.0, TICK_S - (time.monotonic() - tick)))
    finally:
        pending.put(later)
        result.labels_later = len(later)


class Present:
    """Draws what happens between one look at the clock and the next."""

    def __init__(self, world: World, plan: Plan, tps: float, now_us: int) -> None:
        """Begin at `now_us`, in the middle of the frauds that are going on."""
        self.world, self.plan, self.tps = world, plan, tps
        self.rng = np.random.default_rng([*world.key, 6, now_us])
        self.prefix = letter_id(f"live/{world.key}/{now_us}")
        self._ticks = count()
        self._episodes = count()
        self._carry = 0.0
        self._scheduled: list[Scheduled] = []
        self._order = count()
        self._begin_episodes(now_us - WARM_US, now_us)
        self.now_us = time.time_ns() // 1_000
        self._due(self.now_us)

    def until(self, now_us: int) -> Day:
        """Return the payments since the last call, event times between the two, with the truth about them."""
        since, self.now_us = self.now_us, now_us
        self._begin_episodes(since, now_us)
        self._carry += (now_us - since) / 1e6 * self.tps * (1 - self.plan.fraud_rate)
        number, self._carry = int(self._carry), self._carry % 1
        time_us = since + (np.arange(1, number + 1) * (now_us - since) // max(1, number))
        card = self.rng.choice(len(self.world.cards.rate), number, p=self._shares(now_us))
        city = days.city_at(self.world, card, time_us)
        bought = payments.genuine(self.rng, self.world, card, time_us, city)
        tick = f"{next(self._ticks):x}".translate(NO_DIGITS)
        return days.write(self.rng, self.world, bought, self._due(now_us), f"{self.prefix}-{tick}")

    def _shares(self, now_us: int) -> Floats:
        cards = self.world.cards
        hour = (now_us // HOUR_US + self.world.home_offsets // 60) % 24
        weight = cards.rate * RHYTHMS[cards.rhythm, hour]
        shares: Floats = weight / weight.sum()
        return shares

    def _begin_episodes(self, since: int, now_us: int) -> None:
        expected = (now_us - since) / 1e6 * self.tps * self.plan.fraud_rate
        for name, episodes in frauds.how_many(self.rng, expected).items():
            for _ in range(episodes):
                victim = int(self.rng.integers(len(self.world.cards.rate)))
                start = since + int(self.rng.integers(1, max(2, now_us - since)))
                drafts = frauds.episode(self.rng, self.world, name, victim, start)
                label = f"{self.prefix}/{next(self._episodes)}"
                for place, time_us in enumerate(drafts.time_us.tolist()):
                    one = frauds.take(drafts, np.array([place]))
                    heapq.heappush(self._scheduled, (time_us, next(self._order), name, label, one))

    def _due(self, now_us: int) -> FraudDrafts:
        drafts: list[Drafts] = []
        names: list[str] = []
        episodes: list[str] = []
        while self._scheduled and self._scheduled[0][0] <= now_us:
            _, _, name, label, one = heapq.heappop(self._scheduled)
            drafts.append(one)
            names.append(name)
            episodes.append(label)
        return FraudDrafts(frauds.join(drafts), names, episodes)
