"""Kafka: an idempotent producer, a reading consumer, and the topics as the contracts want them."""

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from contracts.topics import LARGEST_LETTER, LARGEST_MESSAGE, TOPICS
from errors import ServerError, UnreachableError
from settings import settings

TIMEOUT_S = 10.0
REQUEST_TIMEOUT_MS = 10_000
LOOK_S = 3.0
"""Seconds that a look at how things are may take."""
AT_END_MS = 20
"""How long a reading to the end lets the broker hold back an answer: what it asks for is there."""
QUEUE_MESSAGES = 100_000
"""Messages that a producer holds before it must wait for acknowledgements: about 50 MB."""


def producer(linger_ms: int = 5, patience_s: float = 300, *, only_failures: bool = False) -> Producer:
    """Return an idempotent producer (acks=all) with the platform's one partitioner: murmur2_random on the card.

    It waits `linger_ms` for more to send in one request, and reports a record as failed after `patience_s`. Of those
    that succeed it says nothing with `only_failures`, which spares a call for each.
    """
    return Producer(
        {
            "bootstrap.servers": settings().kafka_bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "message.max.bytes": LARGEST_LETTER,
            "queue.buffering.max.messages": QUEUE_MESSAGES,
            "delivery.report.only.error": only_failures,
            "delivery.timeout.ms": round(patience_s * 1_000),
        }
    )


def reader(group: str = "reader", *, wait_ms: int = 500) -> Consumer:
    """Return a consumer that commits nothing; the caller assigns partitions.

    `wait_ms`: so long the broker holds back an answer that has nothing yet, and with it the next partition's.
    """
    return Consumer(
        {
            "bootstrap.servers": settings().kafka_bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": wait_ms,
        }
    )


def member(group: str, name: str = "", *, patient: bool = False) -> Consumer:
    """Return a member of `group` that begins where the group committed, else at the first record; it commits itself.

    A member with a name that is killed and comes back under it has its partitions at once; one without must wait until
    its session is over. Of two with one name the older is refused by the broker.
    """
    return Consumer(
        {
            "bootstrap.servers": settings().kafka_bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000,
            **({"fetch.min.bytes": 500_000, "fetch.wait.max.ms": 1_000} if patient else {"fetch.wait.max.ms": 100}),
            **({"group.instance.id": name} if name else {}),
        }
    )


def ensure_topics() -> None:
    """Make the topics that are missing; ServerError if one has another number of partitions than the contract."""
    admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap, "socket.timeout.ms": REQUEST_TIMEOUT_MS})
    found = _topics(admin)
    config = {"max.message.bytes": str(LARGEST_MESSAGE)}
    missing = [NewTopic(t.name, t.partitions, 1, config=config | t.config) for t in TOPICS if t.name not in found]
    for name, future in (admin.create_topics(missing) if missing else {}).items():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ServerError(f"kafka: making topic {name}: {error}") from error
    for topic in TOPICS:
        if found.get(topic.name, topic.partitions) != topic.partitions:
            raise ServerError(
                f"topic {topic.name} has {found[topic.name]} partitions, the contract says "
                f"{topic.partitions}: a card would change its partition"
            )


def topic_id(topic: str) -> str:
    """Return the id that Kafka gave `topic` when it was made: a topic made anew under its name has another."""
    admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap, "socket.timeout.ms": REQUEST_TIMEOUT_MS})
    try:
        found = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)
    except KafkaException as error:
        raise _unreachable(error) from error
    return str(found.topic_id)


def offsets(topic: str, timeout_s: float = TIMEOUT_S) -> dict[int, tuple[int, int]]:
    """Return partition to (first offset, end offset) of `topic`."""
    consumer = reader()
    try:
        partitions = consumer.list_topics(topic, timeout_s).topics[topic].partitions
        return {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout_s) for p in partitions}
    except KafkaException as error:
        raise _unreachable(error) from error
    finally:
        consumer.close()


def lag(group: str, topic: str) -> int:
    """Return how many records of `topic` stand behind what `group` has committed; all of them if it never did."""
    return sum(end - following for following, end in waiting(group, topic).values())


def waiting(group: str, topic: str) -> dict[int, tuple[int, int]]:
    """Return partition to the offset that `group` takes next, by its commits, and the one after the last message."""
    consumer = reader(group)
    found: dict[int, tuple[int, int]] = {}
    try:
        partitions = [TopicPartition(topic, p) for p in consumer.list_topics(topic, LOOK_S).topics[topic].partitions]
        for place in consumer.committed(partitions, LOOK_S):
            first, end = consumer.get_watermark_offsets(place, LOOK_S)
            found[place.partition] = (max(first, place.offset), end)
    except KafkaException as error:
        raise _unreachable(error) from error
    finally:
        consumer.close()
    return found


def ends(topic: str, timeout_s: float = TIMEOUT_S) -> dict[int, int]:
    """Return partition to the offset after its last message."""
    return {partition: after for partition, (_, after) in offsets(topic, timeout_s).items()}


def read_all(
    topic: str, begin: Mapping[int, int] | None = None, end: Mapping[int, int] | None = None
) -> Iterator[Message]:
    """Yield every message of `topic` that is there now, partition by partition, each in its order.

    `begin` and `end` (partition to offset; the last excluded) narrow it; a partition that `end` lacks is left out.
    """
    last = {p: after for p, (first, after) in offsets(topic).items() if after > first} if end is None else end
    consumer = reader(wait_ms=AT_END_MS)
    try:
        for partition, after in last.items():
            start = begin.get(partition, 0) if begin else 0
            if start < after:
                consumer.assign([TopicPartition(topic, partition, start)])
                yield from _until(consumer, after)
    finally:
        consumer.close()


def read_one(topic: str, partition: int, offset: int) -> Message | None:
    """Return the message at that place, or None if there is none (never was, or its retention is over)."""
    first, end = offsets(topic).get(partition, (0, 0))
    if not first <= offset < end:
        return None
    consumer = reader(wait_ms=AT_END_MS)
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        return next((message for message in _until(consumer, end) if message.offset() == offset), None)
    finally:
        consumer.close()


def take(consumer: Consumer, most: int, wait_s: float) -> list[Message]:
    """Return one message, waited for, and whatever else is there; to ask the client for many would wait for them."""
    first = consumer.consume(1, wait_s)
    return first + consumer.consume(most - 1, 0) if first else []


def _until(consumer: Consumer, end: int) -> Iterator[Message]:
    quiet_since = time.monotonic()
    while True:
        for message in take(consumer, 1_000, 1.0):
            quiet_since = time.monotonic()
            error, offset = message.error(), message.offset()
            if error is None and offset is not None:
                if offset < end:
                    yield message
                if offset >= end - 1:
                    return
            elif error and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's public constant
                return
        if time.monotonic() - quiet_since > 3 * TIMEOUT_S:
            raise UnreachableError(f"kafka {settings().kafka_bootstrap} stopped answering; see `make status`")


def _topics(admin: AdminClient) -> dict[str, int]:
    try:
        return {name: len(meta.partitions) for name, meta in admin.list_topics(timeout=TIMEOUT_S).topics.items()}
    except KafkaException as error:
        raise _unreachable(error) from error


def _unreachable(error: KafkaException) -> UnreachableError:
    return UnreachableError(f"kafka {settings().kafka_bootstrap} does not answer: {error}; see `make status`")
