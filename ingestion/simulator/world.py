"""The simulated world: cities, merchants and cards with habits; the same seed and size give the same world."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.identity import keyed_hash
from contracts.validation import CURRENCIES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Texts = NDArray[np.object_]

# name: country, currency, latitude, longitude, standard UTC offset in minutes, share of the world's cards
CITIES = tuple(
    line.split()
    for line in """
    new_york US USD 40.71 -74.01 -300 .14
    chicago US USD 41.88 -87.63 -360 .09
    houston US USD 29.76 -95.37 -360 .07
    denver US USD 39.74 -104.99 -420 .06
    los_angeles US USD 34.05 -118.24 -480 .10
    miami US USD 25.76 -80.19 -300 .06
    seattle US USD 47.61 -122.33 -480 .05
    toronto CA CAD 43.65 -79.38 -300 .06
    mexico_city MX MXN 19.43 -99.13 -360 .05
    london GB GBP 51.51 -0.13 0 .08
    manchester GB GBP 53.48 -2.24 0 .03
    paris FR EUR 48.86 2.35 60 .05
    madrid ES EUR 40.42 -3.70 60 .04
    milan IT EUR 45.46 9.19 60 .03
    berlin DE EUR 52.52 13.41 60 .04
    zurich CH CHF 47.38 8.54 60 .02
    tokyo JP JPY 35.68 139.69 540 .03
""".strip().splitlines()
)
ONLINE = -1
"""The city of what is on the web, which stands before the first one."""
ONLINE_CITIES = ("US", "US", "US", "GB", "DE", "FR", "JP", "MX")
"""Countries in which web merchants are at home, by how many."""

# mcc, share of merchants, online (1) or at a place (0), median amount in USD, sigma of its logarithm, popularity
KINDS = tuple(
    tuple(float(x) for x in line.split())
    for line in """
    5411 .15 0 34 .6 3
    5812 .14 0 27 .6 1.5
    5814 .11 0 11 .5 2
    5541 .08 0 41 .4 2
    5912 .05 0 18 .6 1.2
    5651 .06 0 57 .7 .8
    5311 .04 0 46 .8 1
    5732 .03 0 140 .9 .5
    5200 .03 0 62 .8 .7
    4111 .04 0 3.4 .4 3
    4121 .03 0 17 .5 1
    7011 .03 0 150 .6 .3
    7832 .02 0 21 .4 .5
    5999 .07 1 43 .9 2
    5816 .025 1 12 .8 1.5
    4899 .025 1 13 .2 2
    4511 .01 1 270 .6 .6
    6300 .01 1 85 .4 .7
    7995 .015 1 28 .9 .6
    4829 .01 1 120 .9 .4
    6051 .005 1 170 .9 .3
""".strip().splitlines()
)
FAVOURITES = 8
HOURS = 24
# Local hours of four kinds of people: office, early, evening, night.
RHYTHMS = np.array(
    [
        [1, 1, 1, 1, 1, 2, 6, 12, 14, 9, 8, 10, 18, 14, 8, 8, 10, 18, 20, 16, 10, 7, 4, 2],
        [1, 1, 1, 1, 3, 8, 14, 18, 18, 16, 14, 12, 12, 10, 9, 9, 9, 8, 6, 4, 3, 2, 1, 1],
        [2, 1, 1, 1, 1, 1, 2, 4, 6, 7, 8, 10, 12, 10, 9, 9, 10, 14, 18, 20, 18, 14, 9, 5],
        [12, 10, 8, 5, 3, 2, 2, 2, 3, 4, 5, 6, 8, 8, 8, 8, 8, 9, 10, 12, 14, 15, 15, 14],
    ],
    dtype=np.float64,
)
PAYMENTS_A_DAY = 1.6
LAX_SHARE = 0.06
LAX_PULL = 25.0
"""How much likelier a fraudster picks a lax merchant than another one of the same popularity."""


@dataclass(frozen=True)
class Merchants:
    """Columns of equal length, sorted by city, ONLINE first. Amounts in USD."""

    city: Ints
    start: dict[int, tuple[int, int]]
    mcc: Ints
    name: Texts
    country: Texts
    currency: Texts
    exponent: Ints
    latitude: Floats
    longitude: Floats
    offset: Ints
    log_amount: Floats
    sigma: Floats
    popularity: Floats
    """Cumulative, so that a uniform number picks one."""
    pull: Floats
    """The same for fraudsters, cumulative."""
    terminals: Ints


@dataclass(frozen=True)
class Cards:
    """Columns of equal length. Rates are payments a day, `scale` a factor on amounts (its logarithm)."""

    card_id: Texts
    account_id: Texts
    devices: Texts
    """Shape (cards, 2)."""
    city: Ints
    rate: Floats
    scale: Floats
    online: Floats
    weekend: Floats
    rhythm: Ints
    favourites: Ints
    """Shape (cards, FAVOURITES): indexes of merchants at home."""
    loyalty: Floats


@dataclass(frozen=True)
class World:
    """Everything that stays the same from day to day."""

    seed: int
    cards: Cards
    merchants: Merchants

    @property
    def key(self) -> tuple[int, int]:
        """What seeds the random numbers of its days."""
        return self.seed, len(self.cards.rate)

    @property
    def home_offsets(self) -> Ints:
        """The standard UTC offset of each card's home, in minutes."""
        return np.array([int(city[5]) for city in CITIES])[self.cards.city]


def make(seed: int, cards: int, hash_key: bytes) -> World:
    """Make the world of `seed` with that many cards, whose made-up numbers are hashed under `hash_key`."""
    merchants = _merchants(np.random.default_rng([seed, cards, 1]), max(240, cards // 2))
    return World(seed, _cards(np.random.default_rng([seed, cards, 2]), cards, seed, merchants, hash_key), merchants)


def pick(rng: np.random.Generator, merchants: Merchants, cities: Ints, weights: Floats) -> Ints:
    """Return one merchant for each of `cities` (or ONLINE), by cumulative `weights`."""
    bounds = np.array([merchants.start[city] for city in range(ONLINE, len(CITIES))])[cities + 1]
    padded = np.concatenate(([0.0], weights))
    low, high = padded[bounds[:, 0]], padded[bounds[:, 1]]
    found: Ints = np.searchsorted(weights, low + rng.random(len(cities)) * (high - low), side="right")
    last: Ints = bounds[:, 1] - 1
    return np.minimum(found, last)


def _merchants(rng: np.random.Generator, count: int) -> Merchants:
    kinds = np.array(KINDS)
    kind = rng.choice(len(kinds), count, p=kinds[:, 1] / kinds[:, 1].sum())
    # Every city, and the web, has each of its kinds at least once.
    here, web = np.flatnonzero(kinds[:, 2] == 0), np.flatnonzero(kinds[:, 2] == 1)
    kind = np.concatenate((np.tile(here, len(CITIES)), web, kind))
    share = np.array([float(city[6]) for city in CITIES])
    anywhere = rng.choice(len(CITIES), count, p=share / share.sum())
    city = np.concatenate(
        (
            np.repeat(np.arange(len(CITIES)), len(here)),
            np.full(len(web), ONLINE),
            np.where(kinds[kind[-count:], 2] == 1, ONLINE, anywhere),
        )
    )
    order = np.argsort(city, kind="stable")
    city, kind = city[order], kind[order]
    total = len(city)
    at_home = {line[1]: line for line in reversed(CITIES)}
    place = [CITIES[c] if c >= 0 else at_home[ONLINE_CITIES[i % len(ONLINE_CITIES)]] for i, c in enumerate(city)]
    popularity = kinds[kind, 5] / (1 + rng.permutation(total) % 17)
    lax = rng.random(total) < LAX_SHARE
    edges = np.searchsorted(city, np.arange(ONLINE, len(CITIES) + 1))
    return Merchants(
        city=city,
        start={c: (int(edges[c + 1]), int(edges[c + 2])) for c in range(ONLINE, len(CITIES))},
        mcc=kinds[kind, 0].astype(np.int64),
        name=np.array([f"M{number:05d}" for number in rng.permutation(total)], dtype=object),
        country=np.array([p[1] for p in place], dtype=object),
        currency=np.array([p[2] for p in place], dtype=object),
        exponent=np.array([CURRENCIES[p[2]] for p in place]),
        latitude=np.array([float(p[3]) for p in place]) + rng.normal(0, 0.08, total),
        longitude=np.array([float(p[4]) for p in place]) + rng.normal(0, 0.1, total),
        offset=np.array([int(p[5]) for p in place]),
        log_amount=np.log(kinds[kind, 3]) + rng.normal(0, 0.25, total),
        sigma=kinds[kind, 4],
        popularity=np.cumsum(popularity),
        pull=np.cumsum(popularity * np.where(lax, LAX_PULL, 1.0)),
        terminals=rng.integers(1, 5, total),
    )


def _cards(rng: np.random.Generator, count: int, seed: int, merchants: Merchants, hash_key: bytes) -> Cards:
    share = np.array([float(city[6]) for city in CITIES])
    city = rng.choice(len(CITIES), count, p=share / share.sum())
    rate = np.maximum(0.05, rng.gamma(2.0, PAYMENTS_A_DAY / 2, count))

    def hashed(kind: str) -> Texts:
        numbers = (f"simulated {kind} {seed}/{count}/{i}" for i in range(count))
        return np.array([keyed_hash(hash_key, number) for number in numbers], dtype=object)

    repeated = np.repeat(city, FAVOURITES)
    return Cards(
        card_id=hashed("card"),
        account_id=hashed("account"),
        devices=np.stack((hashed("phone"), hashed("computer")), axis=1),
        city=city,
        rate=rate,
        scale=rng.normal(0, 0.35, count),
        online=rng.beta(2, 5, count),
        weekend=rng.lognormal(0.1, 0.3, count),
        rhythm=rng.choice(len(RHYTHMS), count, p=(0.5, 0.2, 0.22, 0.08)),
        favourites=pick(rng, merchants, repeated, merchants.popularity).reshape(count, FAVOURITES),
        loyalty=rng.beta(5, 3, count),
    )
