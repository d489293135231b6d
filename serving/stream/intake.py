"""From Kafka messages to payments: decoded, judged by the one validation, each with its place; bad ones are counted.

A bad record's dead letter is written by the Spark driver, which alone writes letters of `transactions.raw`.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Message

from clients import kafka
from contracts import cleaning, decision_header, validation, wire
from contracts.arrival import HISTORY, observed, set_aside
from contracts.partitioning import check_place
from errors import RejectedError
from features import Event
from serving.decide.record import Subject


class Arrival(NamedTuple):
    """A good payment and where it stands on Kafka; `at_us` is when it arrived there, UTC microseconds.

    `decision_id`: of the decision that was made on it before it reached Kafka, if there was one.
    """

    partition: int
    offset: int
    at_us: int
    value: bytes
    payment: dict[str, Any]
    decision_id: str | None = None

    @property
    def is_history(self) -> bool:
        """Whether it was long past when it arrived."""
        return set_aside(self.payment, self.at_us) == HISTORY

    @property
    def is_decided(self) -> bool:
        """Whether a decision is due: not for history, nor for money that comes back, nor where there is one."""
        return self.decision_id is None and set_aside(self.payment, self.at_us) is None

    @property
    def observation(self) -> Event:
        """The payment as its card's window takes it."""
        return observed(self.payment, self.at_us)

    def subject(self, topic_id: str) -> Subject:
        """Return the payment as what is to be decided; `topic_id` is Kafka's of its topic."""
        decision_id = f"{topic_id}:{self.partition}:{self.offset}"
        return Subject(self.payment, self.value, decision_id, "stream", self.partition, self.offset)


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


def read(messages: Iterable[Message], writer: wire.Writer, decision_key: bytes) -> Batch:
    """Decode and judge messages; UnreachableError when the registry cannot say what a schema id means.

    `decision_key` signs the header of a payment that was decided elsewhere.
    """
    batch, now_us = Batch(), time.time_ns() // 1_000
    for message in messages:
        (partition, offset), (_, time_ms) = kafka.place(message), message.timestamp()
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
        decision_id = _decision_id(message, value or b"", decision_key)
        batch.arrivals.append(Arrival(partition, offset, time_ms * 1_000, value or b"", payment, decision_id))
    return batch


def _decision_id(message: Message, value: bytes, key: bytes) -> str | None:
    """Return the decision that a payment's header names, if it was signed with `key` for these bytes."""
    headers: Any = message.headers()
    header = dict(headers).get(decision_header.NAME) if headers else None
    return decision_header.verified(key, header, value)
