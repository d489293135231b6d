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
from contracts import decision_header, validation, wire
from errors import RejectedError
from features import NOT_ATTEMPTS
from serving.decide.record import Subject

HISTORY_US = 48 * 3_600 * 1_000_000
"""Payments that were this much behind the clock when they arrived are observed, not decided."""


class Arrival(NamedTuple):
    """A good payment and where it stands on Kafka; `at_us` is Kafka's timestamp, UTC microseconds.

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
        return bool(self.at_us - self.payment["event_time"] > HISTORY_US)

    @property
    def is_decided(self) -> bool:
        """Whether a decision is due: not for history, nor for money that comes back, nor where there is one."""
        return self.decision_id is None and not self.is_history and self.payment["message_type"] not in NOT_ATTEMPTS

    def subject(self, topic_id: str) -> Subject:
        """Return the payment as what is to be decided; `topic_id` is Kafka's of its topic."""
        decision_id = f"{topic_id}:{self.partition}:{self.offset}"
        return Subject(self.payment, self.value, decision_id, "stream", self.partition, self.offset)


@dataclass
class Batch:
    """What a consume gave: good payments in order, the offset after each partition's last message, bad codes.

    `last_us` is when that last message came: Kafka's timestamp, which its producer set, but never after now.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    last_us: dict[int, int] = field(default_factory=dict)
    invalid: Counter[str] = field(default_factory=Counter)


def read(messages: Iterable[Message], writer: wire.Writer, decision_key: bytes) -> Batch:
    """Decode and judge messages; UnreachableError when the registry cannot say what a schema id means.

    `decision_key` signs the header of a payment that was decided elsewhere.
    """
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
        decision_id = _decision_id(message, value or b"", decision_key)
        batch.arrivals.append(Arrival(partition, offset, time_ms * 1_000, value or b"", payment, decision_id))
    return batch


def _decision_id(message: Message, value: bytes, key: bytes) -> str | None:
    """Return the decision that a payment's header names, if it was signed with `key` for these bytes."""
    headers: Any = message.headers()
    header = dict(headers).get(decision_header.NAME) if headers else None
    return decision_header.verified(key, header, value)
