"""The stream scorer on a backlog: one process, topics and an online store of its own, beside two loops of others."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import redis

from bench import stack
from bench.deciding import decisions
from bench.deciding.decisions import Answer
from bench.deciding.model import Champion, champion
from bench.figures import Figure, Section, at_least, ratios
from bench.lake.bronze import namespace
from bench.load import payments, traffic
from bench.load.payments import Payment, Sample
from bench.peers import batch_stream, plain_stream
from clients import kafka, registry
from contracts.topics import DECISIONS, TRANSACTIONS
from errors import ServerError
from features import DAY_US, SECOND_US, WINDOW_VERSION
from settings import PROJECT_DIR, lakehouse_home

BACKLOG = 60_000
"""Payments: long enough that its first share (decisions.COLD) holds all of the warming up."""
PLAIN = 10
"""The plain loop has so many times fewer payments: its rate does not depend on how many."""
TWINS = 1_000
"""Of each real card, so that one pays in the time of a backlog about as often as cards do."""
PROFILE, WINDOW = "profile:card:", f"window:{WINDOW_VERSION}:card:"
UNPLACED = b"\xff" * 8 + bytes(4)
"""What a stored window begins with: offset -1 of partition 0, for nothing of this backlog stands in it yet."""
SPAN_US = 10 * 60 * SECOND_US
"""Of the event times of a backlog: a payment more than this behind its card's newest would be late."""
PATIENCE_S = 180.0
LOOK_EVERY_S = 1.0


def measure(rounds: int) -> Section:
    """Let all three work off a backlog in turn, each round on fresh topics and with a fresh store that holds Gold."""
    model, batch = champion(), backlog(payments.decided(payments.sample()), BACKLOG)
    encoded = traffic.encode(batch)
    ours, plain, batched, costs, degraded, held = [], [], [], [], 0, 0
    for _ in range(rounds):
        answers, times, batch_times = one_round(model, batch, encoded)
        at_ms = [answer.at_ms for answer in answers]
        ours.append(decisions.rate(at_ms))
        begin = decisions.warm_from(at_ms)
        costs.append(decisions.stage_costs(answer.stages for answer in answers if answer.at_ms > begin))
        plain.append(decisions.rate(times))
        batched.append(decisions.rate(batch_times))
        degraded += sum(answer.degraded for answer in answers)
        held += sum(answer.held for answer in answers)
    note = (
        f"a backlog of {BACKLOG:,}, the first fifth not counted; not approved, and so explained: "
        f"{held / rounds / BACKLOG:.1%}; degraded: {degraded / rounds / BACKLOG:.1%}"
    )
    return Section(
        "Stream, saturated, one process",
        [
            Figure("decisions", "decisions/s", ours, at_least(8_000), note),
            *shares(ours, costs),
            Figure("plain loop", "decisions/s", plain, None, "a poll, a GET, a model call and a JSON produce for each"),
            Figure("ours over the plain loop", "x", ratios(ours, plain), at_least(8)),
            Figure(
                "batch loop", "decisions/s", batched, None, "no windows, rules, reasons or record; flushed, committed"
            ),
            Figure("ours over the batch loop", "x", ratios(ours, batched)),
        ],
    )


def one_round(
    model: Champion, batch: list[Payment], encoded: traffic.Encoded
) -> tuple[list[Answer], list[int], list[int]]:
    """Return our decisions, and the Kafka timestamps (ms) of the plain loop's and the batch loop's, on one backlog."""
    with namespace() as name, namespace() as spare, namespace() as third, stack.redis_server() as url:
        running = stack.variables()
        environment = running | {"REDIS_URL": url}
        stack.run("serving", "feature-writer", environment=environment)
        give_past(running["REDIS_URL"], url, {payment["card_id"]: payment["account_id"] for payment in batch})
        topic, answered = f"{name}.{TRANSACTIONS.name}", f"{name}.{DECISIONS.name}"
        traffic.burst(encoded, topic)
        with scorer(name, environment) as process:
            wait(process, answered, len(batch))
        answers = list(decisions.read(kafka.read_all(answered), registry.writers()))
        check(answers, len(batch))
        cards = sorted({payment["card_id"] for payment in batch})
        rows = model.rows(len(cards))
        plain_stream.prepare(url, cards, rows)
        out = f"{spare}.{DECISIONS.name}"
        plain_stream.run(topic, out, url, model.text, len(batch) // PLAIN)
        batch_stream.prepare(url, cards, rows)
        fast = f"{third}.{DECISIONS.name}"
        batch_stream.run(topic, fast, url, model.onnx, len(batch))
        times, batch_times = ([message.timestamp()[1] for message in kafka.read_all(each)] for each in (out, fast))
        return answers, times, batch_times


def give_past(whole: str, url: str, twins: Mapping[str, str]) -> None:
    """Store at `url` for each card of `twins` what stands at `whole` of the card that it is a twin of."""
    real = sorted(set(twins.values()))
    with redis.Redis.from_url(whole) as source, redis.Redis.from_url(url) as target:
        for prefix, begin in ((PROFILE, b""), (WINDOW, UNPLACED)):
            found = dict(zip(real, source.mget([prefix + card for card in real]), strict=True))
            values = {prefix + twin: found[card] for twin, card in twins.items() if found[card]}
            target.mset({key: begin + value[len(begin) :] for key, value in values.items()})


def backlog(found: Sample, count: int) -> list[Payment]:
    """Return payments under fresh ids, in order, over the last minutes (SPAN_US) of the sample's newest day.

    Each real card has TWINS, for else it would pay all the time, and all of that be fraud. A twin's account is the real
    card.
    """
    span_us = min(SPAN_US, found.newest_us % DAY_US)
    begin_us = found.newest_us - span_us
    drawn = islice(payments.to_score(found), count)
    return [
        payment
        | {
            "event_time": begin_us + span_us * number // count,
            "card_id": hashlib.sha256(f"{payment['card_id']} {number % TWINS}".encode()).hexdigest(),
            "account_id": payment["card_id"],
        }
        for number, payment in enumerate(drawn, start=1)
    ]


@contextmanager
def scorer(name: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the stack's stream scorer on a namespace, with a home of its own that has the champion already."""
    kept = lakehouse_home() / "cache" / "stream"
    if not kept.is_dir():
        raise ServerError(f"{kept}: the running stream keeps no champion yet; see `make status`")
    with tempfile.TemporaryDirectory(prefix="bench-stream-") as folder:
        shutil.copytree(kept, Path(folder) / "cache" / "stream")
        command = [sys.executable, "-m", "serving", "stream", "--namespace", name]
        log = Path(folder) / "stream.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=PROJECT_DIR,
                env=os.environ | environment | {"LAKEHOUSE_HOME": folder},
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield process
            except ServerError as error:
                raise ServerError(f"{error}: {log.read_text(errors='replace')[-2000:]}") from error
            finally:
                process.terminate()


def wait(process: "subprocess.Popen[bytes]", topic: str, count: int) -> None:
    """Wait until `topic` has `count` messages; ServerError when the process ends before, or takes too long."""
    patience = time.monotonic() + PATIENCE_S
    while (found := sum(kafka.ends(topic).values())) < count:
        if process.poll() is not None or time.monotonic() > patience:
            raise ServerError(f"the stream scorer made {found:,} of {count:,} decisions and then no more")
        time.sleep(LOOK_EVERY_S)


def check(answers: list[Answer], count: int) -> None:
    """Raise ServerError unless each payment was decided, and by the model: a decision without costs less."""
    places, by = {answer.place for answer in answers}, Counter(answer.by for answer in answers)
    if len(places) != count or set(by) != {"model"}:
        raise ServerError(
            f"of {count:,} payments {len(places):,} were decided: {dict(by)}; what is not decided by the "
            "model says nothing of the rate"
        )


def shares(rates: list[float], costs: list[dict[str, float]]) -> list[Figure]:
    """Return what each stage cost a payment, with its share of all the time; the rest is what no decision tells."""
    whole = [1e6 / each for each in rates]
    rows = {stage: [cost.get(stage, 0.0) for cost in costs] for stage in (costs[0] if costs else ())}
    rows["the rest: record, acknowledge, store"] = [
        all_of_it - sum(cost.values()) for all_of_it, cost in zip(whole, costs, strict=True)
    ]
    return [
        Figure(f"  {stage}", "us a payment", spent, None, f"{sum(spent) / sum(whole):.0%} of the time")
        for stage, spent in rows.items()
    ]
