"""Kafka: an idempotent producer, a reading consumer, and the topics as the contracts want them."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from contracts.topics import ARRIVAL_STAMP, LARGEST_LETTER, LARGEST_MESSAGE, TOPICS, Topic
from errors import ServerError, UnreachableError
from settings import settings

log = logging.getLogger(__name__)
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


def new_topic(topic: Topic, namespace: str = "") -> NewTopic:
    """Return the request that makes a topic of the contracts; a namespace (for tests and trials) keeps it apart.

    How many copies it has is the broker's to say (default.replication.factor).
    """
    name = f"{namespace}.{topic.name}" if namespace else topic.name
    return NewTopic(name, topic.partitions, config={"max.message.bytes": str(LARGEST_MESSAGE)} | topic.config)


def ensure_topics(bootstrap: str = "") -> list[str]:
    """Make the topics that are missing and return their names; the others get the arrival stamp if they lack it.

    ServerError if one has another number of partitions than the contract.
    """
    address = bootstrap or settings().kafka_bootstrap
    admin = AdminClient({"bootstrap.servers": address, "socket.timeout.ms": REQUEST_TIMEOUT_MS, "log_level": 0})
    found = _topics(admin)
    for topic in TOPICS:
        if found.get(topic.name, topic.partitions) != topic.partitions:
            raise ServerError(
                f"topic {topic.name} has {found[topic.name]} partitions, the contract says {topic.partitions}: a card "
                "would change its partition; move the data to a new topic"
            )
    missing = [topic for topic in TOPICS if topic.name not in found]
    made = admin.create_topics([new_topic(topic) for topic in missing]) if missing else {}
    for name, future in made.items():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ServerError(f"kafka: making topic {name}: {error}") from error
    _stamp_on_arrival(admin, [topic.name for topic in TOPICS if topic.name in found])
    return [topic.name for topic in missing]


def _stamp_on_arrival(admin: AdminClient, names: Sequence[str]) -> None:
    """Set what the contracts say of timestamps on topics that exist; the rest of their settings is their operator's."""
    if not names:
        return
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    try:
        changed = []
        for resource, future in admin.describe_configs(resources).items():
            there = future.result(TIMEOUT_S)
            for key, value in ARRIVAL_STAMP.items():
                if there[key].value != value:
                    resource.add_incremental_config(
                        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    )
                    changed.append(resource)
        for resource, future in (admin.incremental_alter_configs(changed) if changed else {}).items():
            future.result(TIMEOUT_S)
            log.info("topic %s: records are stamped when they arrive from now on", resource.name)
    except KafkaException as error:
        raise ServerError(f"kafka: setting message.timestamp.type of {', '.join(names)}: {error}") from error


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


def topic_id(topic: str) -> str:
    """Return the id that Kafka gave a topic when it was made; UnreachableError if there is none or no answer."""
    admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap, "log_level": 0})
    try:
        found = admin.describe_topics(TopicCollection([topic]), request_timeout=LOOK_S)[topic].result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise UnreachableError(f"kafka: topic {topic} does not answer: {error}; see `make status`") from error
    return str(found.topic_id)


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


def place(message: Message) -> tuple[int, int]:
    """Return (partition, offset) of a record that Kafka holds; ServerError for one that was never there."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise ServerError("kafka handed over a record without its partition or offset: is `librdkafka` the locked one?")
    return partition, offset


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
