"""Producers as they are usually written: confluent's AvroSerializer a record, with a delivery callback; and JSON."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import orjson
from confluent_kafka import KafkaError, Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from clients import kafka
from contracts import schemas
from contracts.topics import TRANSACTIONS
from errors import ServerError
from settings import settings

Record = dict[str, Any]


def avro_serializer(topic: str, records: Sequence[Record]) -> float:
    """Serialize and send each record by itself to `topic` until all are acknowledged; return records/s.

    The producer is the platform's own (idempotent, acks=all); the records are in memory already and nothing is checked.
    """
    # The schema that is registered already, under whatever topic the records go to.
    configuration = {"auto.register.schemas": False, "subject.name.strategy": lambda *_: TRANSACTIONS.subject}
    serialize = AvroSerializer(
        SchemaRegistryClient({"url": settings().registry_url}), schemas.text("transaction"), conf=configuration
    )
    context = SerializationContext(topic, MessageField.VALUE)
    producer = kafka.producer()
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    started = perf_counter()
    for record in records:
        value = serialize(record, context)
        while True:
            try:
                producer.produce(topic, key=record["card_id"], value=value, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    seconds = perf_counter() - started
    if left or failed:
        raise ServerError(f"kafka: {left + len(failed)} of {len(records)} records to {topic} were not acknowledged")
    return len(records) / seconds


def json_bytes(records: Sequence[Record]) -> int:
    """Return the bytes of the records as compact JSON without the fields that are null."""
    return sum(len(orjson.dumps({k: v for k, v in record.items() if v is not None})) for record in records)
