"""Messages of a topic between two moments: where each partition ends now, and what stands between two such places."""

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Message, TopicPartition

from clients import kafka
from errors import UnreachableError

QUIET_S = 30.0


def ends(topic: str) -> dict[int, int]:
    """Return partition to the offset after its last message."""
    return {partition: end for partition, (_, end) in kafka.offsets(topic).items()}


def between(topic: str, begin: Mapping[int, int], end: Mapping[int, int]) -> Iterator[Message]:
    """Yield every message in [begin, end), partition by partition, each in its order."""
    consumer = kafka.reader()
    try:
        for partition, last in end.items():
            at = begin[partition]
            consumer.assign([TopicPartition(topic, partition, at)])
            patience = time.monotonic() + QUIET_S
            while at < last:
                for message in consumer.consume(1_000, 1.0):
                    offset = message.offset()
                    if message.error() is None and offset is not None and at <= offset < last:
                        yield message
                        at, patience = offset + 1, time.monotonic() + QUIET_S
                if time.monotonic() > patience:
                    raise UnreachableError(f"kafka gives nothing of {topic}, partition {partition}, from offset {at}; "
                                           "see `make status`")  # fmt: skip
    finally:
        consumer.close()
