"""Turns who pays when (card, time) into whole transaction records, by the habits of the card and the merchant."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import schemas
from contracts.validation import CURRENCIES, LARGEST
from features import DAY_US
from ingestion.simulator.world import CITIES, FAVOURITES, ONLINE, Floats, Ints, Texts, World, pick
from rates import to_reporting

SOURCE = "simulator"
PRESENT = (("contactless", 0.55), ("chip", 0.38), ("magstripe", 0.04), ("manual", 0.01), ("unknown", 0.02))
REMOTE = (("ecommerce", 0.6), ("credential_on_file", 0.33), ("moto", 0.02), ("unknown", 0.05))
AUTHENTICATION = {
    "chip": (("pin", 0.85), ("none", 0.15)),
    "contactless": (("device", 0.4), ("none", 0.6)),
    "ecommerce": (("three_ds_frictionless", 0.45), ("three_ds_challenge", 0.2), ("exempt", 0.15), ("none", 0.2)),
}
RECURRING_MCC = (4899, 6300)
KINDS = (("authorization", 0.985), ("refund", 0.008), ("verification", 0.004), ("reversal", 0.003))
LARGE_SHARE = 0.015
"""Of genuine payments: a holiday, a sofa. High amounts alone are not fraud."""
NAMES = tuple(schemas.defaults("transaction"))
"""The order in which `records` lists its columns is that of the schema."""


@dataclass(frozen=True)
class Drafts:
    """Payments before they are written out: equal columns; amounts in whole USD, an empty entry mode is drawn."""

    card: Ints
    time_us: Ints
    merchant: Ints
    usd: Floats
    entry_mode: Texts
    kind: Texts


def choose(rng: np.random.Generator, options: tuple[tuple[str, float], ...], count: int) -> Texts:
    """Draw `count` names by their shares."""
    weights = np.array([share for _, share in options])
    return np.array([name for name, _ in options], dtype=object)[
        rng.choice(len(options), count, p=weights / weights.sum())
    ]


def genuine(rng: np.random.Generator, world: World, card: Ints, time_us: Ints, city: Ints) -> Drafts:
    """Draft what holders buy at `time_us` when they are in `city`: favourites at home, the web, places around."""
    cards, merchants, count = world.cards, world.merchants, len(card)
    online = rng.random(count) < cards.online[card]
    merchant = pick(rng, merchants, np.where(online, ONLINE, city), merchants.popularity)
    loyal = ~online & (city == cards.city[card]) & (rng.random(count) < cards.loyalty[card])
    favourite = np.minimum(rng.geometric(0.3, count) - 1, FAVOURITES - 1)
    merchant = np.where(loyal, cards.favourites[card, favourite], merchant)
    usd = amounts(rng, world, card, merchant)
    large = rng.random(count) < LARGE_SHARE
    usd = np.where(large, usd * rng.uniform(3, 12, count), usd)
    kind = choose(rng, KINDS, count)
    return Drafts(card, time_us, merchant, np.where(kind == "verification", 0.0, usd), np.full(count, ""), kind)


def amounts(rng: np.random.Generator, world: World, card: Ints, merchant: Ints) -> Floats:
    """Draw what such a card spends at such a merchant, in whole USD: lognormal, some of it round."""
    m = world.merchants
    usd = np.exp(m.log_amount[merchant] + world.cards.scale[card] + m.sigma[merchant] * rng.normal(size=len(card)))
    return np.where(rng.random(len(card)) < 0.08, np.maximum(10, np.round(usd, -1)), usd)


def records(rng: np.random.Generator, world: World, drafts: Drafts, prefix: str) -> list[dict[str, Any]]:
    """Write drafts out as transaction records, in the order of the drafts; ids are `prefix` and a number."""
    cards, merchants, card, merchant = world.cards, world.merchants, drafts.card, drafts.merchant
    count = len(card)
    web = merchants.city[merchant] < 0
    mode = np.where(web, choose(rng, REMOTE, count), choose(rng, PRESENT, count))
    mode = np.where(np.isin(merchants.mcc[merchant], RECURRING_MCC), "recurring", mode)
    mode = np.where(drafts.entry_mode == "", mode, drafts.entry_mode)
    authentication = np.full(count, "none", dtype=object)
    for name, options in AUTHENTICATION.items():
        authentication = np.where(mode == name, choose(rng, options, count), authentication)
    currency, home = merchants.currency[merchant], np.array([c[2] for c in CITIES], dtype=object)[cards.city[card]]
    minor = _minor(drafts.usd, currency, drafts.time_us)
    abroad = currency != home
    billed = _minor(drafts.usd, home, drafts.time_us)
    terminal = 1 + (drafts.time_us // 7 % merchants.terminals[merchant])
    device = cards.devices[card, (rng.random(count) < 0.3).astype(int)]
    located = ~web
    columns = (
        [SOURCE] * count,
        [f"{prefix}-{number:05x}" for number in range(count)],
        drafts.time_us.tolist(),
        merchants.offset[merchant].tolist(),
        drafts.kind.tolist(),
        cards.card_id[card].tolist(),
        cards.account_id[card].tolist(),
        minor.tolist(),
        currency.tolist(),
        _or_none(abroad, billed),
        _or_none(abroad, home),
        merchants.name[merchant].tolist(),
        [f"{m}-{t}" if here else None for m, t, here in zip(merchants.name[merchant], terminal, located, strict=True)],
        [f"{mcc:04d}" for mcc in merchants.mcc[merchant].tolist()],
        merchants.country[merchant].tolist(),
        np.array([c[1] for c in CITIES], dtype=object)[cards.city[card]].tolist(),
        _or_none(located, np.round(merchants.latitude[merchant], 5)),
        _or_none(located, np.round(merchants.longitude[merchant], 5)),
        mode.tolist(),
        authentication.tolist(),
        _or_none(mode == "ecommerce", device),
    )
    return [dict(zip(NAMES, row, strict=True)) for row in zip(*columns, strict=True)]


def _minor(usd: Floats, currency: Texts, time_us: Ints) -> Ints:
    """Return minor units of `currency` worth `usd`, by the rate of the middle of the payments' days."""
    if not len(usd):
        return np.zeros(0, dtype=np.int64)
    day = int(np.median(time_us) // DAY_US)
    unit = {code: to_reporting(1, code, CURRENCIES[code], day) for code in set(currency.tolist())}
    codes = currency.tolist()
    found: Ints = np.minimum([LARGEST[code] for code in codes], np.round(usd / [unit[code] for code in codes])).astype(
        np.int64
    )
    return found


def _or_none(condition: NDArray[np.bool_], values: NDArray[Any]) -> list[Any]:
    return [value if there else None for there, value in zip(condition.tolist(), values.tolist(), strict=True)]
