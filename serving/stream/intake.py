"""From Kafka messages to payments: decoded, judged by the one validation, each with its place; bad ones are counted.

A bad record's dead letter is written by the Spark driver, which alone writes letters of `transactions.raw`.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Message

from contracts import cleaning, validation, wire
from contracts.arrival import HISTORY, observed, set_aside
from contracts.partitioning import check_place
from errors import RejectedError
from features import Event


class Arrival(NamedTuple):
    """A good payment and where it stands on Kafka; `at_us` is when it arrived there, UTC microseconds."""

    partition: int
    offset: int
    at_us: int
    value: bytes
    payment: dict[str, Any]

    @property
    def is_history(self) -> bool:
        """Whether it was long past when it arrived."""
        return set_aside(self.payment, self.at_us) == HISTORY

    @property
    def is_decided(self) -> bool:
        """Whether a decision is due: not for history, nor for money that comes back."""
        return set_aside(self.payment, self.at_us) is None

    @property
    def observation(self) -> Event:
        """The payment as its card's window takes it."""
        return observed(self.payment, self.at_us)


@dataclass
class Batch:
    """What a consume gave: good payments in order, the offset after each partition's last message, bad codes.

    `last_us` is when that last message arrived, but never after now; `absent` counts by name the optional fields that
    could not be read.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    last_us: dict[int, int] = field(default_factory=dict)
    invalid: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)


def read(messages: Iterable[Message], writer: wire.Writer) -> Batch:
    """Decode and judge messages; UnreachableError when the registry cannot say what a schema id means."""
    batch, now_us = Batch(), time.time_ns() // 1_000
    for message in messages:
        partition, offset, (_, time_ms) = message.partition(), message.offset(), message.timestamp()
        assert partition is not None
        assert offset is not None
        value = message.value()
        batch.ends[partition], batch.last_us[partition] = offset + 1, min(time_ms * 1_000, now_us)
        try:
            _, payment = wire.decode(value, writer, "transaction")
            validation.check_transaction(payment, time_ms * 1_000)
            check_place(payment, message.key(), partition)
        except RejectedError as error:
            batch.invalid[error.code] += 1
            continue
        if "extra" in payment:
            batch.absent.update(cleaning.absent(payment, "transaction"))
        batch.arrivals.append(Arrival(partition, offset, time_ms * 1_000, value or b"", payment))
    return batch
