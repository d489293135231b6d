"""A queue as a morning brings it: cards that pay as usual, some attacked; a model decides about all, and says why."""

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

import features
from features import FeatureVector, Profile, Status
from scoring.decision import Decision, decide
from scoring.model import Model
from tests import tiny_model
from tests.integration.alerts_trial import AlertsTrial, Record, payment

CARDS = 60
ATTACKED = 14
SHOPS = {"M-1042": "5411", "M-2210": "5812", "M-3001": "5541", "M-4417": "5912", "M-5120": "4111"}
ATTACKS = ("burst", "one large", "abroad", "pairs", "small then large")
FIRST = 90
"""Numbers of a card's payments that are an attack begin here."""
BLOCKED = 0.97
Pay = Callable[..., Record]


def decided(trial: AlertsTrial, seed: int = 3) -> list[Record]:
    """Return decisions in the order of their payments, approved ones too."""
    made = []
    for card, paid, vector in _payments(seed):
        scored = decide(_model(), [vector])[0]
        reasons = [{"code": each.code, "text": each.text, "weight": each.weight} for each in scored.reasons]
        is_block = scored.decision is Decision.REVIEW and scored.score > BLOCKED
        decision = "block" if is_block else scored.decision.value
        made.append(trial.decided(card, paid, decision=decision, score=scored.score, reasons=json.dumps(reasons)))
    return made


@cache
def _model() -> Model:
    """Train on mornings of the same kind; a few wrong labels, so that it is not always sure."""
    draw = random.Random(1)
    seen = [
        (vector.to_array(), _is_attack(paid) != (draw.random() < 0.02))
        for seed in range(100, 108)
        for _, paid, vector in _payments(seed)
    ]
    rows, fraud = (np.array(each) for each in zip(*seen, strict=True))
    return tiny_model.opened(tiny_model.trained(rows, fraud))


def _is_attack(paid: Record) -> bool:
    return int(paid["transaction_id"].rpartition("-")[2]) >= FIRST


def _payments(seed: int) -> Iterator[tuple[int, Record, FeatureVector]]:
    draw = random.Random(seed)
    made = [(card, each) for card in range(CARDS) for each in _card(draw, card)]
    made.sort(key=lambda pair: pair[1]["event_time"])
    windows = {card: features.Window() for card in range(CARDS)}
    usual = {card: _usual(draw) for card in range(CARDS)}
    shops = {
        name: Profile(Status.FRESH, (9.0, 60.0, 250.0, *[draw.uniform(0.001, 0.05)] * 3, 1.1, 0.01), 0)
        for name in sorted({each["merchant_id"] for _, each in made})
    }
    for card, paid in made:
        window = features.windowed(paid, windows[card])
        features.observe(windows[card], paid)
        yield card, paid, features.build(paid, usual[card], shops[paid["merchant_id"]], window)


def _usual(draw: random.Random) -> Profile:
    average = draw.uniform(20, 60)
    values = (2.0, 11.0, 44.0, average, average, average, average / 2, average * 2.4, 24.0, 0.02, 14.0, 320.0)
    return Profile(Status.FRESH, values, 0)


def _card(draw: random.Random, card: int) -> list[Record]:
    def pay(number: int, ago_s: float, minor: int, **changes: Any) -> Record:
        return payment(
            card, f"{card:02d}-{number:03d}", ago_s, minor, card_country="US", **({"merchant_country": "US"} | changes)
        )

    made = []
    for number in range(draw.randrange(5, 14)):
        shop = draw.choice(list(SHOPS))
        made.append(
            pay(
                number,
                draw.uniform(3.2, 44) * 3_600,
                draw.randrange(350, 12_000),
                merchant_id=shop,
                mcc=SHOPS[shop],
                entry_mode=draw.choice(["chip", "contactless", "ecommerce"]),
                authentication=draw.choice(["pin", "none"]),
            )
        )
    attack = _attack(draw, pay, ATTACKS[card % len(ATTACKS)]) if card < ATTACKED else []
    return [*made, *attack]


def _attack(draw: random.Random, pay: Pay, pattern: str) -> list[Record]:
    ago_s = draw.uniform(120, 2 * 3_600)
    web = {
        "entry_mode": "ecommerce",
        "authentication": "none",
        "merchant_id": f"M-{draw.randrange(7000, 9999)}",
        "mcc": draw.choice(["5732", "5816", "6051", "7995"]),
    }
    if pattern == "burst":
        return [pay(FIRST + n, ago_s + 40 * (6 - n), draw.randrange(9_000, 45_000), **web) for n in range(6)]
    if pattern == "abroad":
        return [pay(FIRST, ago_s, draw.randrange(8_000, 80_000), merchant_country="RO", **web)]
    if pattern == "pairs":
        return [pay(FIRST + n, ago_s + 300 * n, draw.randrange(12_000, 60_000), **web) for n in range(2)]
    if pattern == "small then large":
        small = [pay(FIRST + n, ago_s + 60 * (4 - n), 100 + 99 * n, **web) for n in range(3)]
        return [*small, pay(FIRST + 3, ago_s, draw.randrange(60_000, 120_000), **web)]
    return [pay(FIRST, ago_s, draw.randrange(30_000, 150_000), **web)]
