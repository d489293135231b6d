"""Sends decisions to Kafka and waits until the broker has them; what is not approved is an alert besides."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from clients import kafka, registry
from contracts import schemas, wire
from contracts.topics import ALERTS, DECISIONS
from errors import UnreachableError

PATIENCE_S = 60.0
"""How long a batch waits for the broker; then this process ends, and the one that follows takes the batch again."""


class Outbox:
    """One producer for decisions and alerts."""

    def __init__(self, prefix: str = "") -> None:
        """Open a producer that does not wait for more to send; UnreachableError when the registry is away.

        `prefix` stands before the names of the topics.
        """
        self._producer: Producer = kafka.producer(linger_ms=0, only_failures=True)
        self._decisions, self._alerts = prefix + DECISIONS.name, prefix + ALERTS.name
        self._schema = schemas.parsed(str(DECISIONS.schema))
        self._ids = {self._decisions: registry.schema_id(DECISIONS), self._alerts: registry.schema_id(ALERTS)}
        self._failed: KafkaError | None = None

    def send(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Put decision records, keyed by card, on their way; return the number of alerts."""
        alerts = 0
        for record in records:
            value = wire.encode(record, self._schema, self._ids[self._decisions])
            self._put(self._decisions, record, value)
            if record["decision"] != "approve":
                alerts += 1
                self._put(self._alerts, record, wire.framed_as(value, self._ids[self._alerts]))
        self._producer.poll(0)
        return alerts

    def settle(self) -> None:
        """Wait until all that was sent is acknowledged; UnreachableError if it is not."""
        left = self._producer.flush(PATIENCE_S)
        if left or self._failed:
            raise UnreachableError(f"kafka: {left} decisions are not acknowledged: {self._failed or 'no answer'}; "
                                   "they are made again when it answers, see `make status`")  # fmt: skip

    def _put(self, topic: str, record: Mapping[str, Any], value: bytes) -> None:
        self._producer.produce(topic, value, record["card_id"].encode(), on_delivery=self._delivered)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error
