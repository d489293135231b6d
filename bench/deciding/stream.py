"""The stream scorer of the running stack: from a payment's Kafka timestamp to its decision's, at 500 payments/s."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench import stack
from bench.deciding import decisions, saturated
from bench.deciding.decisions import Answer, Paid, Place
from bench.figures import Figure, Section, at_most
from bench.lake import freshness
from bench.load import payments
from clients import kafka, registry
from contracts import wire
from contracts.topics import DECISIONS, TRANSACTIONS
from errors import RejectedError, ServerError

RUN_IN_S = 10
WAIT_S = 60.0
LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class Followed:
    """The payments of a period, and the first decision of each that has one."""

    paid: Mapping[Place, Paid]
    found: Mapping[Place, Answer]


def measure(runs: int = 3, seconds: float = 20, rounds: int = 3) -> Iterator[Section]:
    """Measure beside the whole stack at work, saturated, and with Bronze's driver stopped for the time."""
    payments.decided(payments.sample())
    seen = freshness.Seen()
    at_work = follow(runs * seconds, lambda: freshness.look(seen))
    yield _section("Stream at 500/s, Spark landing the same payments and Trino asked", at_work, runs, 15, 150)
    yield saturated.measure(rounds)
    with stack.without("bronze"):
        idle = follow(runs * seconds, lambda: time.sleep(LOOK_EVERY_S))
    yield _section("Stream at 500/s, Spark stopped and Trino idle", idle, runs, 5, 30)


def follow(seconds: float, meanwhile: Callable[[], None]) -> Followed:
    """Let 500 payments/s flow, call `meanwhile` over and over, and find the decision of each of the last `seconds`."""
    with freshness.payments_flow(freshness.RATE, RUN_IN_S + seconds):
        time.sleep(RUN_IN_S)
        answered, begin = kafka.ends(DECISIONS.name), kafka.ends(TRANSACTIONS.name)
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            meanwhile()
    paid = sent(begin, kafka.ends(TRANSACTIONS.name))
    if not paid:
        raise ServerError("none of the bench's payments stands on Kafka; see `make status`")
    return Followed(paid, answers(paid, answered))


def sent(begin: Mapping[int, int], end: Mapping[int, int]) -> dict[Place, Paid]:
    """Return the bench's own payments among the messages in [begin, end)."""
    writer, found = registry.writers(), {}
    for message in kafka.read_all(TRANSACTIONS.name, begin, end):
        try:
            _, payment = wire.decode(message.value(), writer, "transaction")
        except RejectedError:  # somebody else's: a simulator sends bad records too
            continue
        partition, offset = message.partition(), message.offset()
        if payment["source"] == payments.SOURCE and partition is not None and offset is not None:
            found[partition, offset] = Paid(payment["transaction_id"], message.timestamp()[1])
    return found


def answers(paid: Mapping[Place, Paid], begin: Mapping[int, int]) -> dict[Place, Answer]:
    """Read decisions from `begin` on until each payment has one, or nobody would wait any longer."""
    writer = registry.writers()
    found: dict[Place, Answer] = {}
    patience = time.monotonic() + WAIT_S
    while True:
        end = kafka.ends(DECISIONS.name)
        found = decisions.first(paid, decisions.read(kafka.read_all(DECISIONS.name, begin, end), writer)) | found
        if len(found) == len(paid) or time.monotonic() > patience:
            return found
        begin = end
        time.sleep(LOOK_EVERY_S)


def _section(title: str, followed: Followed, runs: int, p50_ms: float, p99_ms: float) -> Section:
    parts = decisions.delays(followed.paid, followed.found, runs)
    missing = len(followed.paid) - len(followed.found)
    by = Counter(answer.by for answer in followed.found.values())
    degraded = sum(answer.degraded for answer in followed.found.values())
    held = sum(answer.held for answer in followed.found.values())
    counted = ", ".join(f"by {name}: {count:,}" for name, count in sorted(by.items()))
    return Section(
        title,
        [
            Figure(
                "p50",
                "ms",
                [decisions.quantile(part, 50) for part in parts],
                at_most(p50_ms),
                "Kafka timestamp to Kafka timestamp, whole ms",
            ),
            Figure("p99", "ms", [decisions.quantile(part, 99) for part in parts], at_most(p99_ms)),
            Figure("p99.9", "ms", [decisions.quantile(part, 99.9) for part in parts]),
            Figure("slowest", "ms", [decisions.quantile(part, 100) for part in parts]),
            Figure(
                "without a decision",
                "payments",
                [float(missing)],
                at_most(0),
                f"of {len(followed.paid):,}; {counted}; not approved: {held:,}; degraded: {degraded:,}",
            ),
        ],
    )
