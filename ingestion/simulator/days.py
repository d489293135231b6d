"""The days of the simulated world: who pays when, who travels, which frauds; each day is drawn from its own seed."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from features import DAY_US
from ingestion.simulator import frauds, payments
from ingestion.simulator.frauds import FraudDrafts
from ingestion.simulator.payments import Drafts
from ingestion.simulator.world import CITIES, HOURS, RHYTHMS, Ints, World

HOUR_US = DAY_US // HOURS
TRIP_SHARE = 0.04
"""Of card-weeks: the card is away for some days, so that a far place alone is not fraud."""
SPREE_SHARE = 0.008
"""Of card-days: several payments within the hour, so that a burst alone is not fraud."""
NO_DIGITS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")
FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday, Monday being 0


@dataclass(frozen=True)
class Truth:
    """What the simulator knows of one fraudulent payment."""

    transaction_id: str
    pattern: str
    episode: str


@dataclass(frozen=True)
class Day:
    """The records of one simulated day in the order of event_time, and the truth about those that are fraud."""

    records: list[dict[str, Any]]
    truth: list[Truth]


def draw(world: World, day: int, fraud_rate: float) -> Day:
    """Draw a day (days since 1970; local to each card, so event times reach half a day beyond it in UTC)."""
    rng = np.random.default_rng([*world.key, 3, day])
    card, time_us = _payers(rng, world, day)
    city = city_at(world, card, time_us)
    bought = payments.genuine(rng, world, card, time_us, city)
    if not len(card):
        return Day([], [])
    stolen = frauds.draw(rng, world, day, fraud_rate, bought)
    return write(rng, world, bought, stolen, letter_id(f"{world.key}/{day}"))


def write(rng: np.random.Generator, world: World, bought: Drafts, stolen: FraudDrafts, prefix: str) -> Day:
    """Write out genuine and stolen payments in the order of time; ids and episodes begin with `prefix`."""
    both = frauds.join([bought, stolen.drafts])
    order = np.argsort(both.time_us, kind="stable")
    records = payments.records(rng, world, frauds.take(both, order), prefix)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    first = len(bought.card)
    truth = [
        Truth(records[place[first + i]]["transaction_id"], pattern, episode)
        for i, (pattern, episode) in enumerate(zip(stolen.pattern, stolen.episode, strict=True))
    ]
    return Day(records, truth)


def letter_id(text: str) -> str:
    """Return twelve letters that stand for `text`; no digits, so that no id can look like a card number."""
    return blake2b(text.encode(), digest_size=6).hexdigest().translate(NO_DIGITS)


def city_at(world: World, card: Ints, time_us: Ints) -> Ints:
    """Return the city each card is in at that time: at home, or away on a trip of two to six days."""
    week = time_us // (7 * DAY_US)
    city = world.cards.city[card].copy()
    for number in np.unique(week):
        rng = np.random.default_rng([*world.key, 4, int(number)])
        count = len(world.cards.rate)
        away = rng.random(count) < TRIP_SHARE
        goal, leaves, stays = rng.integers(0, len(CITIES), count), rng.integers(0, 4, count), rng.integers(2, 7, count)
        weekday = time_us // DAY_US % 7
        there = (week == number) & away[card] & (weekday >= leaves[card]) & (weekday < leaves[card] + stays[card])
        city[there] = goal[card][there]
    return city


def _payers(rng: np.random.Generator, world: World, day: int) -> tuple[Ints, Ints]:
    cards = world.cards
    weekend = (day + FIRST_WEEKDAY) % 7 >= 5
    rate = cards.rate * (cards.weekend if weekend else 1.0) * (1 - 3 * SPREE_SHARE)
    card = np.repeat(np.arange(len(rate)), rng.poisson(rate))
    hour = np.empty(len(card), dtype=np.int64)
    for kind, weights in enumerate(RHYTHMS):
        mine = cards.rhythm[card] == kind
        hour[mine] = rng.choice(HOURS, int(mine.sum()), p=weights / weights.sum())
    time_us = (
        day * DAY_US + hour * HOUR_US - world.home_offsets[card] * 60_000_000 + rng.integers(0, HOUR_US, len(card))
    )
    spree = np.flatnonzero(rng.random(len(card)) < SPREE_SHARE)
    repeats = np.repeat(spree, rng.integers(2, 6, len(spree)))
    later = time_us[repeats] + (rng.uniform(1, 60, len(repeats)) * 60_000_000).astype(np.int64)
    return np.concatenate((card, card[repeats])), np.concatenate((time_us, later))
