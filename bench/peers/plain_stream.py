"""A stream scorer as it is usually written: poll one payment, read its card, call the model, produce JSON, go on."""

import json
import time
from collections.abc import Iterator, Sequence

import numpy as np
import orjson
import redis
from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from numpy.typing import NDArray

from bench.peers import mlflow_serve
from clients import kafka
from contracts.topics import TRANSACTIONS
from errors import ServerError
from features import NAMES
from settings import settings

AMOUNT = NAMES.index("amount")
PATIENCE_S = 60.0
FLUSH_S = 60.0
THRESHOLD = 0.5


def prepare(url: str, cards: Sequence[str], rows: NDArray[np.float32]) -> None:
    """Keep a whole vector for each card, as JSON: kinder to the loop than to look up and build its parts."""
    with redis.Redis.from_url(url) as client:
        client.mset({f"plain:{card}": orjson.dumps(row) for card, row in zip(cards, rows.tolist(), strict=True)})


def run(topic: str, answers: str, url: str, text: str, count: int) -> None:
    """Decide `count` payments of `topic`, from its first on, onto the topic `answers`; ServerError if one fails.

    The producer is the platform's own (idempotent, acks=all, batched); nothing is flushed before the end.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": settings().kafka_bootstrap,
            "group.id": f"{answers}.plain",
            "auto.offset.reset": "earliest",
        }
    )
    # The schema that is registered already, under whatever topic the records stand.
    configuration = {"subject.name.strategy": lambda *_: TRANSACTIONS.subject}
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": settings().registry_url}), conf=configuration)
    context = SerializationContext(topic, MessageField.VALUE)
    producer, classifier = kafka.producer(), mlflow_serve.classifier(text)
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    try:
        with redis.Redis.from_url(url) as client:
            for message in _polled(consumer, topic, count):
                payment = deserialize(message.value(), context)
                row = np.array([orjson.loads(client.get(f"plain:{payment['card_id']}"))], dtype=np.float32)
                row[0, AMOUNT] = payment["amount_minor"] / 100
                score = float(np.asarray(classifier.predict_proba(row))[0, 1])
                answer = {"transaction_id": payment["transaction_id"], "score": score, "fraud": score >= THRESHOLD}
                producer.produce(
                    answers, key=payment["card_id"], value=json.dumps(answer).encode(), on_delivery=delivered
                )
                producer.poll(0)
    finally:
        consumer.close()
    if (left := producer.flush(FLUSH_S)) or failed:
        raise ServerError(f"kafka: {left + len(failed)} of the plain loop's answers to {answers} were not acknowledged")


def _polled(consumer: Consumer, topic: str, count: int) -> Iterator[Message]:
    consumer.subscribe([topic])
    patience = time.monotonic() + PATIENCE_S
    while count > 0:
        message = consumer.poll(1.0)
        if message is not None:
            if error := message.error():
                raise ServerError(f"kafka: the plain loop on {topic}: {error}")
            yield message
            count -= 1
            patience = time.monotonic() + PATIENCE_S
        elif time.monotonic() > patience:
            raise ServerError(f"kafka gives nothing more of {topic}; {count:,} payments are left")
