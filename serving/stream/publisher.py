"""Sends decisions to Kafka and waits until the broker has them; what is not approved is an alert besides."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from clients import kafka, registry
from contracts import schemas, wire
from contracts.topics import ALERTS, DECISIONS
from errors import UnreachableError

PATIENCE_S = 60.0
"""How long a batch waits for the broker; then this process ends, and the one that follows takes the batch again."""


TOGETHER = 50


class Outgoing(NamedTuple):
    """A decision as it goes to Kafka: its card, the framed record, and whether it is an alert."""

    key: bytes
    value: bytes
    is_alert: bool


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

    async def encode(self, records: Sequence[Mapping[str, Any]]) -> list[Outgoing]:
        """Return decision records as messages; lets others run between them, such as a round trip to Redis."""
        outgoing = []
        for number, record in enumerate(records):
            value = wire.encode(record, self._schema, self._ids[self._decisions])
            outgoing.append(Outgoing(record["card_id"].encode(), value, record["decision"] != "approve"))
            if number % TOGETHER == 0:
                await asyncio.sleep(0)
        return outgoing

    def send(self, outgoing: Iterable[Outgoing]) -> int:
        """Put messages, keyed by card, on their way; return the number of alerts."""
        alerts = 0
        for key, value, is_alert in outgoing:
            self._producer.produce(self._decisions, value, key, on_delivery=self._delivered)
            if is_alert:
                alerts += 1
                alert = wire.framed_as(value, self._ids[self._alerts])
                self._producer.produce(self._alerts, alert, key, on_delivery=self._delivered)
        self._producer.poll(0)
        return alerts

    def settle(self) -> None:
        """Wait until all that was sent is acknowledged; UnreachableError if it is not."""
        left = self._producer.flush(PATIENCE_S)
        if left or self._failed:
            raise UnreachableError(
                f"kafka: {left} decisions are not acknowledged: {self._failed or 'no answer'}; "
                "they are made again when it answers, see `make status`"
            )

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error
