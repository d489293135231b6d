"""The command `attack`: plays thefts of each pattern on simulated cards, as if they had just happened."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from errors import InputError
from ingestion import console
from ingestion.producer import Sender
from ingestion.simulator import days, frauds, payments, pending, verdicts, world
from ingestion.simulator.days import Day
from ingestion.simulator.frauds import MINUTE_US, PATTERNS, FraudDrafts
from ingestion.simulator.world import World
from lake import card_key

BEFORE_US = 40 * MINUTE_US
"""The holder's own last payment, at home, is so long before the theft begins."""
LIVELY = 0.5
"""Payments a day; a card that hardly pays has no habits that a theft could break."""


def run(cards: int, seed: int, times: int, json_file: Path | None) -> None:
    """Send `times` thefts of each pattern, each after a payment of its holder; the labels come later, as always."""
    now_us = time.time_ns() // 1_000
    made = world.make(seed, cards, card_key.verified())
    drawn = draw(made, now_us, times)
    sender = Sender()
    sender.payments(drawn.records)
    counts = sender.close()
    pending.put(verdicts.labels(np.random.default_rng([*made.key, 9, now_us]), drawn))
    found: dict[str, Any] = console.summary(counts, (time.time_ns() // 1_000 - now_us) / 1e6) | {
        "thefts": thefts(drawn)
    }
    console.show(found)
    for name in PATTERNS:
        mine = [each for each in found["thefts"] if each["pattern"] == name]
        console.console.print(f"{name}: {len(mine)} thefts, {sum(len(each['payments']) for each in mine)} payments")
    console.write_json(json_file, found)


def draw(made: World, now_us: int, times: int) -> Day:
    """Draw `times` episodes of each pattern, all of which end at `now_us`, on different cards."""
    rng = np.random.default_rng([*made.key, 8, now_us])
    names = [name for name in PATTERNS for _ in range(times)]
    lively = np.flatnonzero(made.cards.rate >= LIVELY)
    if len(lively) < len(names):
        raise InputError(
            f"{len(names)} thefts need as many cards that pay often, the world has {len(lively)}: "
            "give fewer --times, or the --cards of the history"
        )
    drafts, begin = [], []
    for name, victim in zip(names, rng.choice(lively, len(names), replace=False).tolist(), strict=True):
        episode = frauds.episode(rng, made, name, victim, 0)
        episode.time_us[:] += now_us - episode.time_us[-1]
        drafts.append(episode)
        begin.append(int(episode.time_us[0]))
    victims = np.array([each.card[0] for each in drafts], dtype=np.int64)
    before = payments.genuine(rng, made, victims, np.array(begin) - BEFORE_US, made.cards.city[victims])
    counts = [len(each.card) for each in drafts]
    pattern = np.repeat(names, counts).tolist()
    episodes = np.repeat([f"attack/{now_us}/{number}" for number in range(len(drafts))], counts).tolist()
    return days.write(
        rng, made, before, FraudDrafts(frauds.join(drafts), pattern, episodes), days.letter_id(str(now_us))
    )


def thefts(drawn: Day) -> list[dict[str, Any]]:
    """Return each theft's pattern and payments: id, card and event time (UTC us), in order."""
    records = {record["transaction_id"]: record for record in drawn.records}
    found: dict[str, dict[str, Any]] = {}
    for truth in drawn.truth:
        theft = found.setdefault(truth.episode, {"pattern": truth.pattern, "payments": []})
        record = records[truth.transaction_id]
        theft["payments"].append({name: record[name] for name in ("transaction_id", "card_id", "event_time")})
    return list(found.values())
