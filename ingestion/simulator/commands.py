"""The command `simulate`: makes the world, plays it, and says what was sent."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.topics import TRANSACTIONS
from features import DAY_US
from ingestion import console, delays
from ingestion.producer import Sender
from ingestion.simulator import world
from ingestion.simulator.days import Truth
from ingestion.simulator.history import Plan, Result, history
from ingestion.simulator.injector import Injector
from ingestion.simulator.live import live
from lake import card_key


@dataclass(frozen=True)
class Request:
    """What the user asked for; the options of `simulate`."""

    days: int | None
    tps: float | None
    seconds: float | None
    cards: int
    fraud_rate: float
    bad_share: float
    seed: int
    label_delay: str | None


def run(request: Request, truth_file: Path | None, json_file: Path | None, *, show_timings: bool) -> None:
    """Play history, then live traffic, as asked; print the summary also after Ctrl-C."""
    plan = Plan(request.fraud_rate, delays.parse(request.label_delay) if request.label_delay else None)
    made = world.make(request.seed, request.cards, card_key.verified())
    sender = Sender()
    injector = Injector(sender, request.bad_share)
    started = time.perf_counter()
    truth: list[Truth] = []
    later = 0
    for play in (_history, _live):
        result = play(request, plan, made, sender, injector)
        truth += result.truth
        later = result.labels_later or later
    counts = sender.close()
    spent = time.perf_counter() - started
    sender.seconds["simulate"] = max(0.0, spent - sum(sender.seconds.values()))
    found: dict[str, Any] = console.summary(counts, spent) | {
        "frauds": len(truth),
        "labels_later": later,
        "bad_sent": dict(injector.sent),
        "expected_dead_letters": injector.expected_letters(),
    }
    console.show(found)
    console.console.print(f"{len(truth):,} of the payments are fraud; {later:,} labels become known later")
    for code, count in found["expected_dead_letters"].items():
        console.console.print(f"  dead letters to come, {code}: {count:,}")
    if show_timings:
        console.timings(sender.seconds, counts.acknowledged[TRANSACTIONS.name])
    console.write_json(json_file, found)
    if truth_file:
        _write(truth, truth_file)


def _history(request: Request, plan: Plan, made: world.World, sender: Sender, injector: Injector) -> Result:
    if not request.days:
        return Result()
    end_us = time.time_ns() // 1_000
    with console.bar(f"history, {request.days} days", request.days + 2) as bar:
        return history(
            sender, injector, made, plan, end_us - request.days * DAY_US, end_us, lambda n: bar.advance(n, 1)
        )


def _live(request: Request, plan: Plan, made: world.World, sender: Sender, injector: Injector) -> Result:
    result = Result()
    if not request.tps:
        return result
    total = request.tps * (1 - request.bad_share) * request.seconds if request.seconds else None
    with console.bar(f"live, {request.tps:g}/s", total) as bar, suppress(KeyboardInterrupt):
        live(sender, injector, made, plan, request.tps, request.seconds, bar.advance, result)
    return result


def _write(truth: list[Truth], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("transaction_id", "pattern", "episode")
    pq.write_table(pa.table({name: [getattr(t, name) for t in truth] for name in names}), file)
