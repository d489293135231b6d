"""Sends single records to Kafka for callers who must know that the broker has them: each gets its own receipt."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients import kafka, registry
from contracts import schemas, wire
from contracts.topics import Topic
from errors import UnreachableError

PATIENCE_S = 10.0
"""How long a record waits for the broker; its caller is waiting too."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an acknowledged record stands."""

    topic: str
    partition: int
    offset: int


class Sender:
    """One producer (acks=all, idempotent) and the thread that hands out its receipts; both begin when first asked for.

    Any thread may send, any event loop may wait.
    """

    def __init__(self, prefix: str = "") -> None:
        """Open nothing yet; `prefix` stands before the names of the topics."""
        self._prefix = prefix
        self._producer: Producer | None = None
        self._ids: dict[str, int] = {}
        self._opening = threading.Lock()
        self._closed = threading.Event()

    async def send(self, topic: Topic, key: bytes, record: Mapping[str, Any]) -> Place:
        """Send one record and return its place when the broker has it.

        UnreachableError: Kafka has not acknowledged it (it may have it all the same), or the registry is away.
        RejectedError: the record does not fit its schema.
        """
        if topic.name not in self._ids:  # the first of its topic asks the registry, which blocks
            await asyncio.to_thread(self.open, topic)
        return await asyncio.wrap_future(self.submit(topic, key, record))

    def submit(self, topic: Topic, key: bytes, record: Mapping[str, Any]) -> "Future[Place]":
        """Hand one record to the producer and return its receipt to come; errors as of `send`, in the receipt or here.

        The first record of a topic blocks until the registry has said its schema's id.
        """
        producer = self.open(topic)
        receipt: Future[Place] = Future()
        receipt.set_running_or_notify_cancel()  # a caller may go away; the record is on its way all the same
        value = wire.encode(record, schemas.parsed(str(topic.schema)), self._ids[topic.name])
        try:
            producer.produce(self._prefix + topic.name, value, key, on_delivery=_deliver(receipt))
        except BufferError as error:
            raise UnreachableError(f"kafka: {len(producer)} records already wait for it; see `make status`") from error
        return receipt

    def warm(self, topic: Topic) -> None:
        """Ask registry and Kafka what the first record of `topic` needs, so that it need not; nobody there: later."""
        with suppress(UnreachableError, KafkaException):
            self.open(topic).list_topics(self._prefix + topic.name, kafka.LOOK_S)

    def open(self, topic: Topic) -> Producer:
        """Return the producer, started, with the id of this topic's schema; UnreachableError: no registry."""
        with self._opening:
            if topic.name not in self._ids:
                self._ids[topic.name] = registry.schema_id(topic)
            if self._producer is None:
                self._producer = kafka.producer(linger_ms=0, patience_s=PATIENCE_S)
                threading.Thread(target=self._poll, args=(self._producer,), name="receipts", daemon=True).start()
            return self._producer

    def close(self) -> None:
        """Give what is under way a moment, and end the thread."""
        self._closed.set()
        if self._producer is not None:
            self._producer.flush(1.0)

    def _poll(self, producer: Producer) -> None:
        while not self._closed.is_set():
            producer.poll(POLL_S)


def _deliver(receipt: "Future[Place]") -> Any:
    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            receipt.set_result(Place(str(message.topic()), message.partition() or 0, message.offset() or 0))
        else:
            receipt.set_exception(UnreachableError(f"kafka did not acknowledge a record: {error}; see `make status`"))

    return delivered
