"""A stream scorer as people write it who know better: batches, one round trip for each, ONNX; flush, then commit.

What it leaves out is what ours adds: exact windows, daily profiles with ages, rules, reasons, the decision record.
"""

import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import fastavro
import numpy as np
import orjson
import redis
from confluent_kafka import Consumer, KafkaError, Message
from numpy.typing import NDArray

from clients import kafka, registry
from contracts.wire import Writer
from errors import ServerError
from features import NAMES
from scoring.model import INPUT, PROBABILITIES, open_session

BATCH = 500
AMOUNT, COUNT, SUM = (NAMES.index(name) for name in ("amount", "tx_count_24hr", "amount_sum_24hr"))
PATIENCE_S = 60.0
FLUSH_S = 60.0
THRESHOLD = 0.5
FRAMED = 5
"""Bytes before the Avro: a zero and the schema's id."""
SPENT = """
local found = {}
for i, key in ipairs(KEYS) do
  found[2 * i - 1] = redis.call('HINCRBY', key, 'count', 1) - 1
  found[2 * i] = redis.call('HINCRBY', key, 'sum', ARGV[i]) - ARGV[i]
  redis.call('EXPIRE', key, 86400)
end
return found
"""
"""Counts payments (KEYS: their cards, ARGV: minor units) and returns count and sum of each card before its payment."""


def prepare(url: str, cards: Sequence[str], rows: NDArray[np.float32]) -> None:
    """Keep a whole vector for each card, packed: kinder to the loop than to look up and build its parts."""
    with redis.Redis.from_url(url) as client:
        client.mset({f"batch:{card}": row.tobytes() for card, row in zip(cards, rows, strict=True)})


def run(topic: str, answers: str, url: str, onnx: bytes, count: int) -> None:
    """Decide `count` payments of `topic`, from its first on, onto the topic `answers`; ServerError if one fails."""
    consumer = kafka.member(f"{answers}.batch")
    schemas, producer = registry.writers(), kafka.producer(only_failures=True)
    session = open_session(onnx, len(NAMES))
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    try:
        with redis.Redis.from_url(url) as client:
            spent = client.register_script(SPENT)
            for messages in _batches(consumer, topic, count):
                payments = [_decoded(message, schemas) for message in messages]
                cards = [payment["card_id"] for payment in payments]
                amounts = [payment["amount_minor"] for payment in payments]
                with client.pipeline(transaction=False) as pipeline:
                    pipeline.mget([f"batch:{card}" for card in cards])
                    spent([f"spent:{card}" for card in cards], amounts, pipeline)
                    known, before = pipeline.execute()
                rows = np.frombuffer(b"".join(known), np.float32).reshape(len(cards), len(NAMES)).copy()
                rows[:, AMOUNT] = np.array(amounts) / 100
                rows[:, COUNT], rows[:, SUM] = before[::2], np.array(before[1::2]) / 100
                scores = session.run([PROBABILITIES], {INPUT: rows})[0][:, 1].tolist()
                for payment, score in zip(payments, scores, strict=True):
                    answer = {"transaction_id": payment["transaction_id"], "score": score, "fraud": score >= THRESHOLD}
                    producer.produce(answers, key=payment["card_id"], value=orjson.dumps(answer), on_delivery=delivered)
                if (left := producer.flush(FLUSH_S)) or failed:
                    raise ServerError(f"kafka did not acknowledge {left + len(failed)} of the batch loop's answers")
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def _decoded(message: Message, schemas: Writer) -> Any:
    value = message.value() or b""
    return fastavro.schemaless_reader(BytesIO(value[FRAMED:]), schemas(int.from_bytes(value[1:FRAMED], "big")), None)


def _batches(consumer: Consumer, topic: str, count: int) -> Iterator[list[Message]]:
    consumer.subscribe([topic])
    patience = time.monotonic() + PATIENCE_S
    while count > 0:
        messages = kafka.take(consumer, min(BATCH, count), 1.0)
        for message in messages:
            if error := message.error():
                raise ServerError(f"kafka: the batch loop on {topic}: {error}")
        if messages:
            yield messages
            count -= len(messages)
            patience = time.monotonic() + PATIENCE_S
        elif time.monotonic() > patience:
            raise ServerError(f"kafka gives nothing more of {topic}; {count:,} payments are left")
