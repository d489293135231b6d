"""Payments onto Kafka, encoded beforehand: all at once, or at a constant rate; acknowledged and counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, sleep

from confluent_kafka import KafkaError, Message, Producer

from bench.load.payments import Payment
from clients import kafka, registry
from contracts import schemas, wire
from contracts.topics import TRANSACTIONS
from errors import ServerError

FLUSH_S = 120.0
TICK_S = 0.01
Encoded = list[tuple[bytes, bytes]]
"""Pairs of (key, framed Avro)."""


@dataclass
class Sent:
    """What was acknowledged, and each partition's first and one-past-last offset of it."""

    acknowledged: int = 0
    seconds: float = 0.0
    first: dict[int, int] = field(default_factory=dict)
    end: dict[int, int] = field(default_factory=dict)


def encode(payments: Sequence[Payment]) -> Encoded:
    """Frame each payment under the registered schema, keyed by its card."""
    schema, identifier = schemas.parsed("transaction"), registry.schema_id(TRANSACTIONS)
    return [(payment["card_id"].encode(), wire.encode(payment, schema, identifier)) for payment in payments]


def burst(messages: Encoded, topic: str = TRANSACTIONS.name) -> Sent:
    """Send all messages as fast as they go and wait for every acknowledgement."""
    return _send(messages, None, topic)


def paced(messages: Encoded, rate: float) -> Sent:
    """Send `rate` messages/s, in ticks of 10 ms, until all are sent and acknowledged."""
    return _send(messages, rate, TRANSACTIONS.name)


def _send(messages: Encoded, rate: float | None, topic: str) -> Sent:
    # Who wants each payment decided at once does not hold it back for others.
    producer, sent = kafka.producer() if rate is None else kafka.producer(linger_ms=0), Sent()
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
            return
        partition, offset = kafka.place(message)
        sent.acknowledged += 1
        sent.first[partition] = min(offset, sent.first.get(partition, offset))
        sent.end[partition] = max(offset + 1, sent.end.get(partition, 0))

    started = perf_counter()
    for number, (key, value) in enumerate(messages):
        while rate is not None and started + number / rate > perf_counter():
            producer.poll(0)
            sleep(TICK_S)
        _produce(producer, topic, key, value, delivered)
    left = producer.flush(FLUSH_S)
    sent.seconds = perf_counter() - started
    if left or failed:
        raise ServerError(
            f"kafka did not acknowledge {left + len(failed)} of {len(messages)} payments; see `make status`"
        )
    return sent


def _produce(producer: Producer, topic: str, key: bytes, value: bytes, delivered: object) -> None:
    while True:
        try:
            producer.produce(topic, key=key, value=value, on_delivery=delivered)  # type: ignore[arg-type]
        except BufferError:
            producer.poll(0.1)
        else:
            return
