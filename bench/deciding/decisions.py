"""Decisions as they stand on Kafka: matched to their payments, and turned into delays, rates and costs of stages."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka import Message

from contracts import schemas, wire

Place = tuple[int, int]
"""Partition and offset of a payment."""
COLD = 0.2
"""The first share of a backlog is not counted: programs warm up on it."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment on Kafka: its id, and Kafka's timestamp in Unix milliseconds."""

    transaction_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision on Kafka: of which payment, Kafka's timestamp, who decided, whether it was held, and `stages_us`."""

    place: Place
    transaction_id: str
    at_ms: int
    by: str
    held: bool
    degraded: bool
    stages: str


def read(messages: Iterable[Message], writer: Callable[[int], schemas.Schema]) -> Iterator[Answer]:
    """Decode decisions."""
    for message in messages:
        _, record = wire.decode(message.value(), writer, "decision")
        yield Answer(
            (record["payment_partition"], record["payment_offset"]),
            record["transaction_id"],
            message.timestamp()[1],
            record["decided_by"],
            record["decision"] != "approve",
            record["degraded"] is not None,
            record["stages_us"],
        )


def first(paid: Mapping[Place, Paid], answers: Iterable[Answer]) -> dict[Place, Answer]:
    """Return each payment's earliest decision; one that names another payment than stands at its place is none."""
    found: dict[Place, Answer] = {}
    for answer in answers:
        payment, before = paid.get(answer.place), found.get(answer.place)
        if payment is None or payment.transaction_id != answer.transaction_id:
            continue
        if before is None or answer.at_ms < before.at_ms:
            found[answer.place] = answer
    return found


def delays(paid: Mapping[Place, Paid], found: Mapping[Place, Answer], runs: int) -> list[list[float]]:
    """Return the milliseconds from payment to decision, split by the payment's time into `runs` equal periods."""
    begin = min(payment.at_ms for payment in paid.values())
    span = max(payment.at_ms for payment in paid.values()) + 1 - begin
    parts: list[list[float]] = [[] for _ in range(runs)]
    for place, answer in found.items():
        at_ms = paid[place].at_ms
        parts[(at_ms - begin) * runs // span].append(float(answer.at_ms - at_ms))
    return parts


def quantile(values: Sequence[float], percent: float) -> float:
    """Return a percentile (0 to 100); NaN of nothing."""
    return float(np.percentile(values, percent)) if values else float("nan")


def warm_from(times_ms: Sequence[int]) -> int:
    """Return the moment (Unix ms) at which the first, uncounted share of all decisions was there."""
    return sorted(times_ms)[int(len(times_ms) * COLD)]


def rate(times_ms: Sequence[int]) -> float:
    """Return decisions/s after the uncounted share; NaN if all came in the same millisecond."""
    begin = warm_from(times_ms)
    counted = sum(time > begin for time in times_ms)
    return counted * 1_000 / (max(times_ms) - begin) if counted else float("nan")


def stage_costs(texts: Iterable[str]) -> dict[str, float]:
    """Return each stage's microseconds a payment from the `stages_us` of decisions; each tells of its whole batch."""
    costs: dict[str, float] = defaultdict(float)
    counts = Counter(texts)
    for text, count in counts.items():
        stages = json.loads(text)
        payments = stages.pop("payments")
        for stage, spent_us in stages.items():
            costs[stage] += spent_us * count / payments
    return {stage: spent_us / counts.total() for stage, spent_us in costs.items()}
