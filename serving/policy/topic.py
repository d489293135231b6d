"""The topic `policy` on Kafka: written with every record acknowledged, read into a copy to its end."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from clients import kafka
from contracts.topics import POLICY
from errors import InputError, UnreachableError
from serving.config import topic_prefix
from serving.policy.records import Record, decode, encode
from serving.policy.replica import Replica
from settings import lakehouse_home

log = logging.getLogger("policy")
MOST = 50_000
"""Records taken at once: with each transaction nearly all pages of a large copy are written."""
PATIENCE_S = 30.0


def name() -> str:
    """Return the topic's name, in the namespace of trials where one is set."""
    return topic_prefix() + POLICY.name


def write(records: Iterable[Record], topic: str) -> None:
    """Send records and wait until Kafka has each; UnreachableError if it has not within half a minute."""
    failed: list[str] = []

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(str(error))

    producer = kafka.producer(0, PATIENCE_S)
    for record in records:
        key, value = encode(record)
        while True:
            try:
                producer.produce(topic, value, key, 0, on_delivery=on_delivery)
                break
            except BufferError:  # it holds as many as it may
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(PATIENCE_S + 5) or failed:
        raise UnreachableError(
            f"kafka did not take the policy: {failed[0] if failed else 'no answer'}; nothing is lost, repeat it"
        )


@contextmanager
def reading(replica: Replica, topic: str) -> Iterator[Consumer]:
    """Give a consumer of what a copy does not have yet; UnreachableError if Kafka does not say which topic it is."""
    start = replica.follow(kafka.topic_id(topic))
    consumer = kafka.reader("policy", wait_ms=500)
    try:
        consumer.assign([TopicPartition(topic, 0, start)])
        yield consumer
    finally:
        consumer.close()


def take(consumer: Consumer, wait_s: float) -> tuple[list[Record], int, bool]:
    """Return records, the offset after them (0: there were none), and whether that is the topic's end.

    UnreachableError when Kafka refuses. What cannot be read is left out, and logged.
    """
    found: list[Record] = []
    after, at_end = 0, False
    for message in kafka.take(consumer, MOST, wait_s):
        if error := message.error():
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public constant
                raise UnreachableError(f"kafka: reading the policy: {error}")
            at_end = True
            continue
        at_end, after = False, (message.offset() or 0) + 1
        try:
            found.append(decode(message.key() or b"", message.value() or b""))
        except InputError as error:
            log.error("offset %s is left out: %s", message.offset(), error)  # noqa: TRY400 - its text says it all
    return found, after, at_end


def current(topic: str) -> Replica:
    """Return a copy that has everything that the topic has now; UnreachableError if Kafka does not say."""
    replica = Replica(lakehouse_home() / "policy" / f"{topic}.commands.db")
    try:
        with reading(replica, topic) as consumer:
            at_end = False
            while not at_end:
                records, after, at_end = take(consumer, kafka.TIMEOUT_S)
                if after:
                    replica.apply(records, after)
                elif not at_end:
                    raise UnreachableError("kafka does not answer; see `make status`")
    except KafkaException as error:
        raise UnreachableError(f"kafka: reading the policy: {error}") from error
    return replica
