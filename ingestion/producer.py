"""Sends payments and labels to Kafka: validated, encoded, keyed; a bad record becomes a letter and stops nothing."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients import kafka, registry
from contracts import cleaning, deadletter, schemas, wire
from contracts.topics import DEAD_LETTERS, LABELS, TOPICS, TRANSACTIONS, Topic
from contracts.validation import accept
from errors import RejectedError, ServerError

Record = Mapping[str, Any]
Headers = list[tuple[str, bytes]]
Seconds = defaultdict[str, float]
"""What each stage cost."""
BACK_PRESSURE_S = 0.1
LARGEST_BATCH = 5_000
GIVE_UP_S = 330.0
"""Longer than the producer's delivery timeout: by then every message is either acknowledged or reported as failed."""


@dataclass(frozen=True)
class Origin:
    """Where records of a batch came from: the file and the row of each, for the letters of those that are bad."""

    file: str
    rows: Sequence[int]


@dataclass
class Counts:
    """What went out. `sent` = `acknowledged` + `letters` once `close` has returned, each by topic."""

    sent: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    """Records that became a producer's letter, by the topic they were meant for."""
    codes: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    """Optional fields that could not be read and were sent as absent, by name."""
    value_bytes: Counter[str] = field(default_factory=Counter)


class Sender:
    """Counts, times and sends; one to a process. Times in `seconds` are by stage and cover records of all topics."""

    def __init__(self, producer: Producer | None = None) -> None:
        """Open the producer and ask the registry for the ids of our own schemas."""
        self.producer = producer or kafka.producer()
        self.ids = {topic.name: registry.schema_id(topic) for topic in (TRANSACTIONS, LABELS)}
        self.counts = Counts()
        self.seconds: Seconds = defaultdict(float)
        self._failed: list[KafkaError] = []
        self._callbacks = {topic.name: self._callback(topic.name) for topic in TOPICS}

    def payments(self, records: Sequence[Record], origin: Origin | None = None) -> list[Record]:
        """Send transaction records (dicts of Avro's field names), in order, keyed by card; return the rejected ones."""
        return self._send(TRANSACTIONS, records, _card_key, origin)

    def labels(self, records: Sequence[Record], origin: Origin | None = None) -> list[Record]:
        """Send label events, in order, keyed by payment, so that its history keeps its order; return the rejected."""
        return self._send(LABELS, records, _label_key, origin)

    def raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None = None) -> None:
        """Send bytes as they are, past every check: what a dead letter's replay and the tests of bad input need."""
        self.counts.sent[topic] += 1
        self.counts.value_bytes[topic] += len(value or b"")
        self._produce(topic, key, value, headers)

    def letter(
        self, topic: str, record: Record, error: RejectedError, origin: Origin | None = None, at: int = 0
    ) -> None:
        """Count `record` as sent to `topic` and put it on the dead-letter topic as JSON, with the reason."""
        context = deadletter.Context(
            stage=deadletter.Stage.PRODUCER,
            code=error.code,
            reason=error.reason,
            time_ms=time.time_ns() // 1_000_000,
            source_topic=topic,
            file=origin.file if origin else None,
            row=int(origin.rows[at]) if origin else None,
        )
        self.counts.sent[topic] += 1
        self.counts.letters[topic] += 1
        self.counts.codes[error.code] += 1
        card = record.get("card_id")
        key = card.encode() if isinstance(card, str) else None
        self._produce(DEAD_LETTERS.name, key, orjson.dumps(dict(record), default=str), context.headers())

    def poll(self) -> None:
        """Take in acknowledgements; raise ServerError if Kafka gave up on a message."""
        self.producer.poll(0)
        self._raise_failed()

    def close(self) -> Counts:
        """Wait until everything is acknowledged and return the counts; ServerError if something was not."""
        started = time.perf_counter()
        left = self.producer.flush(GIVE_UP_S)
        self.seconds["acknowledge"] += time.perf_counter() - started
        self._raise_failed()
        if left:
            raise ServerError(
                f"kafka: {left} messages were not acknowledged within {GIVE_UP_S:.0f} s; see `make status`"
            )
        return self.counts

    def _send(
        self,
        topic: Topic,
        records: Sequence[Record],
        key: Callable[[Record], bytes],
        origin: Origin | None,
    ) -> list[Record]:
        clock = time.perf_counter
        started = clock()
        now_us, name = time.time_ns() // 1_000, topic.schema or ""
        good: list[tuple[int, Record]] = []
        rejected: list[Record] = []

        def reject(at: int, record: Record, error: RejectedError) -> None:
            self.letter(topic.name, record, error, origin, at)
            rejected.append(record)

        for at, record in enumerate(records):
            try:
                cleaned = accept(record, name, now_us)
                self.counts.absent.update(cleaning.absent(cleaned, name))
                good.append((at, cleaned))
            except RejectedError as error:
                reject(at, record, error)
        checked = clock()
        schema, identifier = schemas.parsed(name), self.ids[topic.name]
        messages = []
        for at, record in good:
            try:
                messages.append({"key": key(record), "value": wire.encode(record, schema, identifier)})
            except RejectedError as error:
                reject(at, record, error)
        encoded = clock()
        self.counts.sent[topic.name] += len(messages)
        self.counts.value_bytes[topic.name] += sum(len(message["value"]) for message in messages)
        self._produce_batch(topic.name, messages)
        self.poll()
        self.seconds["validate"] += checked - started
        self.seconds["encode"] += encoded - checked
        self.seconds["produce"] += clock() - encoded
        return rejected

    def _produce_batch(self, topic: str, messages: list[dict[str, Any]]) -> None:
        """Queue all messages, in order: there is room for all of them before the first goes in."""
        for start in range(0, len(messages), LARGEST_BATCH):
            batch = messages[start : start + LARGEST_BATCH]
            while len(self.producer) > kafka.QUEUE_MESSAGES - LARGEST_BATCH:
                self.producer.poll(BACK_PRESSURE_S)
                self._raise_failed()
            if self.producer.produce_batch(topic, batch, on_delivery=self._callbacks[topic]) != len(batch):
                reasons = {str(message["_error"]) for message in batch if "_error" in message}
                raise ServerError(f"kafka: {topic}: the producer refused messages: {'; '.join(sorted(reasons))}")

    def _produce(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None) -> None:
        while True:
            try:
                self.producer.produce(
                    topic, key=key, value=value, headers=list(headers or []), on_delivery=self._callbacks[topic]
                )
            except BufferError:
                self.producer.poll(BACK_PRESSURE_S)
                self._raise_failed()
            except KafkaException as error:
                raise ServerError(f"kafka: sending {len(value or b'')} bytes to {topic}: {error}") from error
            else:
                return

    def _callback(self, topic: str) -> Callable[[KafkaError | None, Message], None]:
        acknowledged, failed = self.counts.acknowledged, self._failed

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                acknowledged[topic] += 1
            else:
                failed.append(error)

        return delivered

    def _raise_failed(self) -> None:
        if self._failed:
            raise ServerError(
                f"kafka did not take {len(self._failed)} messages: {self._failed[0]}; what was acknowledged stands. "
                "See `make status`, then send again: Silver drops repeats"
            )


def _card_key(record: Record) -> bytes:
    key: bytes = record["card_id"].encode()
    return key


def _label_key(record: Record) -> bytes:
    return f"{record['source']}:{record['transaction_id']}".encode()
