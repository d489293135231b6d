"""Fraud patterns: what thieves do with a card while its holder keeps paying."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from features import DAY_US
from ingestion.simulator import payments
from ingestion.simulator.payments import Drafts
from ingestion.simulator.world import CITIES, ONLINE, Floats, Ints, Texts, World, pick

MINUTE_US = 60_000_000
FAR_KM = 1_000.0
EARTH_KM = 6_371.0


@dataclass(frozen=True)
class Pattern:
    """One pattern: its share of the fraudulent payments, and the fewest and most payments of an episode."""

    share: float
    fewest: int
    most: int

    @property
    def mean(self) -> float:
        """Payments an episode has on average."""
        return (self.fewest + self.most) / 2


PATTERNS = {
    "geo_jump": Pattern(0.35, 1, 3),
    "velocity_burst": Pattern(0.30, 4, 12),
    "high_amount": Pattern(0.25, 1, 2),
    "card_testing": Pattern(0.10, 4, 9),
}
HIGH_VALUE_MCC = (5732, 5999, 4511, 4829, 6051, 7011)
TESTING_MCC = (5816, 5999, 4899)


@dataclass(frozen=True)
class FraudDrafts:
    """Drafts of fraudulent payments with the pattern and the episode of each."""

    drafts: Drafts
    pattern: list[str]
    episode: list[str]


def draw(rng: np.random.Generator, world: World, day: int, fraud_rate: float, bought: Drafts) -> FraudDrafts:
    """Draw a day's frauds, so that their share of all payments is `fraud_rate` on average."""
    expected = len(bought.card) * fraud_rate / (1 - fraud_rate)
    drafts: list[Drafts] = []
    names: list[str] = []
    numbers: list[str] = []
    for name, episodes in how_many(rng, expected).items():
        for _ in range(episodes):
            found = episode(rng, world, name, *_victim(rng, name, day, bought))
            names += [name] * len(found.card)
            numbers += [f"{day}/{len(drafts)}"] * len(found.card)
            drafts.append(found)
    return FraudDrafts(join(drafts), names, numbers)


def how_many(rng: np.random.Generator, expected: float) -> dict[str, int]:
    """Draw the number of episodes of each pattern that make `expected` fraudulent payments on average."""
    return {name: int(rng.poisson(expected * p.share / p.mean)) for name, p in PATTERNS.items()}


def episode(rng: np.random.Generator, world: World, name: str, victim: int, start_us: int) -> Drafts:
    """Draft one episode of pattern `name` on the card `victim`, whose first payment is at `start_us`."""
    pattern = PATTERNS[name]
    count = int(rng.integers(pattern.fewest, pattern.most + 1))
    card = np.full(count, victim)
    merchant, usd, minutes, mode = DRAW[name](rng, world, card)
    gaps = np.concatenate(([0.0], rng.exponential(minutes, count - 1)))
    time_us = start_us + (np.cumsum(gaps) * MINUTE_US).astype(np.int64)
    return Drafts(card, time_us, merchant, usd, mode, np.full(count, "authorization", dtype=object))


def _victim(rng: np.random.Generator, name: str, day: int, bought: Drafts) -> tuple[int, int]:
    """Pick whose card, and when: soon after a payment of its holder, or, for half of the thefts, at any hour."""
    at = int(rng.integers(len(bought.card)))
    soon = int(bought.time_us[at]) + int(rng.uniform(5, 90) * MINUTE_US)
    any_hour = name != "geo_jump" and rng.random() < 0.5
    return int(bought.card[at]), day * DAY_US + int(rng.integers(DAY_US)) if any_hour else soon


Drawn = tuple[Ints, Floats, float, Texts]


def _geo_jump(rng: np.random.Generator, world: World, card: Ints) -> Drawn:
    """A copied card is used at places far from its holder."""
    home = int(world.cards.city[card[0]])
    far = [c for c in range(len(CITIES)) if _km(home, c) > FAR_KM]
    city = np.full(len(card), rng.choice(far))
    merchant = pick(rng, world.merchants, city, world.merchants.pull)
    mode = payments.choose(rng, (("magstripe", 0.35), ("chip", 0.25), ("contactless", 0.4)), len(card))
    return merchant, payments.amounts(rng, world, card, merchant) * rng.lognormal(0.4, 0.4, len(card)), 25.0, mode


def _velocity_burst(rng: np.random.Generator, world: World, card: Ints) -> Drawn:
    """A stolen number is spent as fast as it goes, at a few web merchants."""
    few = pick(rng, world.merchants, np.full(int(rng.integers(1, 4)), ONLINE), world.merchants.pull)
    merchant = rng.choice(few, len(card))
    mode = payments.choose(rng, (("ecommerce", 0.8), ("credential_on_file", 0.2)), len(card))
    return merchant, payments.amounts(rng, world, card, merchant) * rng.lognormal(0.1, 0.3, len(card)), 1.5, mode


def _high_amount(rng: np.random.Generator, world: World, card: Ints) -> Drawn:
    """Something dear that sells on well, where the holder lives or, as often as the holder, on the web."""
    home, online = int(world.cards.city[card[0]]), rng.random() < world.cards.online[card[0]]
    merchant = _of_kind(rng, world, HIGH_VALUE_MCC, len(card), ONLINE if online else home)
    usd = np.exp(world.cards.scale[card]) * rng.lognormal(np.log(420), 0.6, len(card))
    return merchant, usd, 40.0, np.full(len(card), "", dtype=object)


def _card_testing(rng: np.random.Generator, world: World, card: Ints) -> Drawn:
    """Small sums show that the number works; then comes a large one."""
    merchant = np.repeat(_of_kind(rng, world, TESTING_MCC, 1), len(card))
    usd = rng.uniform(0.4, 4.0, len(card))
    usd[-1] = rng.lognormal(np.log(240), 0.6)
    return merchant, usd, 1.0, np.full(len(card), "ecommerce", dtype=object)


DRAW: dict[str, Callable[[np.random.Generator, World, Ints], Drawn]] = {
    "geo_jump": _geo_jump,
    "velocity_burst": _velocity_burst,
    "high_amount": _high_amount,
    "card_testing": _card_testing,
}


def _of_kind(
    rng: np.random.Generator, world: World, mccs: tuple[int, ...], count: int, city: int | None = None
) -> Ints:
    """Return the indexes of `count` merchants of these categories, in `city` (or ONLINE) if one is given."""
    merchants = world.merchants
    weights = np.diff(merchants.pull, prepend=0.0) * np.isin(merchants.mcc, mccs)
    if city is not None:
        weights *= merchants.city == city
    return rng.choice(len(weights), count, p=weights / weights.sum())


def _km(one: int, other: int) -> float:
    """Great-circle distance of two cities (haversine)."""
    a, b = (np.radians([float(CITIES[c][3]), float(CITIES[c][4])]) for c in (one, other))
    h = np.sin((b[0] - a[0]) / 2) ** 2 + np.cos(a[0]) * np.cos(b[0]) * np.sin((b[1] - a[1]) / 2) ** 2
    return float(2 * EARTH_KM * np.arcsin(np.sqrt(h)))


def take(drafts: Drafts, order: Ints) -> Drafts:
    """Return the drafts at the places in `order`."""
    return Drafts(*(getattr(drafts, field.name)[order] for field in fields(Drafts)))


def join(drafts: list[Drafts]) -> Drafts:
    """Return all of them, one after the other."""
    if not drafts:
        none = np.zeros(0, dtype=np.int64)
        return Drafts(none, none, none, np.zeros(0), np.zeros(0, dtype=object), np.zeros(0, dtype=object))
    return Drafts(*(np.concatenate([getattr(d, field.name) for d in drafts]) for field in fields(Drafts)))
