"""From Kafka messages to payments: decoded, judged by the one validation, each with its place; bad ones are counted.

A bad record's dead letter is written by the Spark driver, which alone writes letters of `transactions.raw`.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Message

from clients import registry
from contracts import validation, wire
from errors import RejectedError
from features import NOT_ATTEMPTS

HISTORY_US = 48 * 3_600 * 1_000_000
"""Payments that were this much behind the clock when they arrived are observed, not decided."""


class Arrival(NamedTuple):
    """A good payment and where it stands on Kafka; `at_us` is Kafka's timestamp, UTC microseconds."""

    partition: int
    offset: int
    at_us: int
    value: bytes
    payment: dict[str, Any]

    @property
    def is_history(self) -> bool:
        """Whether it was long past when it arrived."""
        return bool(self.at_us - self.payment["event_time"] > HISTORY_US)

    @property
    def is_decided(self) -> bool:
        """Whether a decision is due: not for history, nor for money that comes back."""
        return not self.is_history and self.payment["message_type"] not in NOT_ATTEMPTS


@dataclass
class Batch:
    """What a consume gave: good payments in order, the offset after each partition's last message, bad codes.

    `last_us` is when that last message came: Kafka's timestamp, which its producer set, but never after now.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    last_us: dict[int, int] = field(default_factory=dict)
    invalid: Counter[str] = field(default_factory=Counter)


def read(messages: Iterable[Message], writer: wire.Writer) -> Batch:
    """Decode and judge messages; UnreachableError when the registry cannot say what a schema id means."""
    batch, now_us, known = Batch(), time.time_ns() // 1_000, registry.judged(writer)
    for message in messages:
        partition, offset, (_, time_ms) = message.partition(), message.offset(), message.timestamp()
        assert partition is not None
        assert offset is not None
        value = message.value()
        batch.ends[partition], batch.last_us[partition] = offset + 1, min(time_ms * 1_000, now_us)
        try:
            _, payment = wire.decode(value, known, "transaction")
            validation.check_transaction(payment, time_ms * 1_000)
        except RejectedError as error:
            batch.invalid[error.code] += 1
            continue
        batch.arrivals.append(Arrival(partition, offset, time_ms * 1_000, value or b"", payment))
    return batch
