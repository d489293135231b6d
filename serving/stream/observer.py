"""Keeps every card's window true to Kafka: knows how far each partition is observed, and observes what is missing.

Redis's progress is the truth. While it is behind the next payment to decide (Redis was away, came back empty, or this
process was killed between two steps), the partition's windows are not to be trusted: its payments are decided without,
and what is missing is read from Kafka again and observed, not decided, until both meet.
"""

import logging
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

import features
from clients import kafka
from contracts.wire import Writer
from errors import ServerError
from serving.online.pipe import Pipe
from serving.online.windows import HELD, NO_TOPIC, NONE, PROGRESS_KEYS, Card, Progress, key, packed, read, write
from serving.stream import intake

log = logging.getLogger(__name__)
MEMORY_S = 25 * 3_600
"""Of lost windows the last 25 hours are made again: a day, and room for lateness."""
CHUNK = 2_000
HEARTBEAT_S = 3.0
TIMEOUT_S = 5.0
UNKNOWN = -2
"""Redis must be asked how far a partition is observed."""


@dataclass
class Part:
    """One partition of ours: the next offset to decide, to observe, and the next offset that Redis has (NONE: none)."""

    position: int
    observed: int = UNKNOWN
    stored: int = NONE

    @property
    def whole(self) -> bool:
        """Whether every payment before the next one is in its card's window."""
        return self.observed >= self.position


class Observer:
    """The windows of this process's partitions."""

    def __init__(self, pipe: Pipe, consumer: Consumer, topic: str, writer: Writer, decision_key: bytes) -> None:
        """Use `pipe` to Redis, and `consumer`, whose partitions these are, to ask Kafka for offsets of `topic`.

        `writer` and `decision_key` are as for `intake.read`.
        """
        self.parts: dict[int, Part] = {}
        self._pipe, self._consumer, self._topic = pipe, consumer, topic
        self._writer, self._decision_key = writer, decision_key
        self._reader = kafka.reader("windows")
        self._reading: tuple[int, int] | None = None
        """Partition and next offset of the reader; None where that is not what is missing next."""
        self._topic_id = NO_TOPIC
        self._beat = 0.0
        self._told: dict[int, str] = {}

    def join(self, partitions: Iterable[int]) -> None:
        """Take partitions over, from where the group committed; KafkaException if Kafka does not say where."""
        self._topic_id = urlsafe_b64decode(kafka.topic_id(self._topic) + "==")
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        for found in self._consumer.committed(wanted, TIMEOUT_S):
            if found.error:
                raise KafkaException(found.error)
            first, _ = self._consumer.get_watermark_offsets(found, TIMEOUT_S)
            self.parts[found.partition] = Part(max(found.offset, first))

    def leave(self, partitions: Iterable[int]) -> None:
        """Give partitions up."""
        for partition in partitions:
            self.parts.pop(partition, None)

    @property
    def whole(self) -> bool:
        """Whether the windows of all our partitions are."""
        return all(part.whole for part in self.parts.values())

    async def write(self, progress: Mapping[int, Progress], cards: Mapping[str, bytes]) -> None:
        """Store packed cards and progress of whole partitions.

        If Redis is away, or has other progress, they are whole no more.
        """
        steps = {
            partition: (part.stored, Progress(max(part.stored, new.next_offset), new.at_us, self._topic_id))
            for partition, new in progress.items()
            if (part := self.parts.get(partition))
        }
        if not steps:
            return
        try:
            found = (await self._pipe.send([write(steps, cards)]))[0]
        except ServerError:
            self.doubt()
            return
        kept = found == [expected for expected, _ in steps.values()]
        for partition, (_, new) in steps.items():
            part = self.parts[partition]
            part.stored, part.observed = (new.next_offset, new.next_offset) if kept else (NONE, UNKNOWN)

    def doubt(self) -> None:
        """Ask Redis again how far each partition is observed: it was away, or nobody knows what it wrote."""
        for part in self.parts.values():
            part.observed = UNKNOWN

    async def settle(self) -> bool:
        """Ask Redis how far each partition is observed where that is not known; False if it does not say."""
        for number, part in self.parts.items():
            if part.observed == UNKNOWN and not await self._ask(number, part):
                return False
        return True

    async def catch_up(self) -> bool:
        """Observe one chunk of what is missing, if anything is; returns whether there was one."""
        if await self.settle():
            for number, part in self.parts.items():
                if not part.whole and await self._observe_chunk(number, part):
                    return True
        return False

    async def _ask(self, number: int, part: Part) -> bool:
        """Ask Redis how far a partition is observed; False if it does not say, or if that cannot be used."""
        try:
            value = (await self._pipe.send([(b"GET", PROGRESS_KEYS[number])]))[0]
        except ServerError:
            return False
        progress, place = Progress.unpack(value), TopicPartition(self._topic, number)
        stored = progress.next_offset
        if stored == HELD:
            self._tell(number, "windows are being forgotten by `serving rebuild`; if none runs, run it again")
            return False
        if stored != NONE and progress.topic not in (self._topic_id, NO_TOPIC):
            self._tell(
                number,
                f"Redis has windows of another topic than {self._topic}, which has been made anew: offsets there mean "
                "other payments. Payments are decided without windows until `serving rebuild`",
            )
            return False
        if stored > self._consumer.get_watermark_offsets(place, TIMEOUT_S)[1]:
            self._tell(
                number,
                f"Redis has windows up to offset {stored}, which Kafka does not have: they are another "
                "log's. Payments are decided without windows until `serving rebuild`",
            )
            return False
        part.stored = part.observed = stored
        if stored == NONE:
            place.offset = int((time.time() - MEMORY_S) * 1_000)
            since = self._consumer.offsets_for_times([place], TIMEOUT_S)[0]
            if since.error:
                raise KafkaException(since.error)
            part.observed = min(since.offset, part.position) if since.offset >= 0 else part.position
        if not part.whole:
            self._tell(
                number,
                f"windows from offset {part.observed} are observed again; until then payments are decided without",
            )
        return True

    def _tell(self, number: int, what: str) -> None:
        """Log a trouble of a partition once."""
        if self._told.get(number) != what:
            log.warning("partition %d: %s", number, what)
            self._told[number] = what

    async def _observe_chunk(self, number: int, part: Part) -> bool:
        """Observe what is missing next of a partition; returns whether its progress moved."""
        if self._reading != (number, part.observed):
            self._reader.assign([TopicPartition(self._topic, number, part.observed)])
        self._reading = None  # what is read now is behind the reader only once it is written
        seen = [message for message in self._reader.consume(CHUNK, 0.2) if _tells(message)]
        missing = [message for message in seen if message.error() is None and (message.offset() or 0) < part.position]
        # Offsets may be missing on Kafka too (retention, a transaction's markers): what comes after them tells.
        through = any((message.offset() or 0) >= part.position for message in seen)
        if not missing and not through:
            self._reading = number, part.observed
            return False
        batch = intake.read(missing, self._writer, self._decision_key)
        owners = {arrival.payment["card_id"]: number for arrival in batch.arrivals}
        try:
            values = (await self._pipe.send([(b"MGET", *map(key, owners))]))[0] if owners else []
        except ServerError:
            self.doubt()
            return False
        cards = read(owners, values)
        for arrival in batch.arrivals:
            take_in(cards[arrival.payment["card_id"]], arrival)
        end = part.position if through else batch.ends[number]
        await self.write({number: Progress(end, batch.last_us.get(number, 0))}, packed(cards))
        if part.observed < end:
            return False
        if not through:
            self._reading = number, end
        if part.whole:
            log.info("partition %d: windows are whole again at offset %d", number, part.observed)
            self._told.pop(number, None)
        return True

    async def heartbeat(self, *, idle: bool) -> None:
        """Every few seconds: where nothing waits on Kafka, say that all of it is observed up to now.

        `idle`: all that the consumer gave is decided. Then its own position tells what behind the last payment is
        nobody's, a transaction's markers and what it took back, which no consumer is given.
        """
        if time.monotonic() - self._beat < HEARTBEAT_S:
            return
        self._beat, now_us = time.monotonic(), time.time_ns() // 1_000
        quiet = {}
        for number, part in self.parts.items():
            if part.whole:
                try:
                    _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), TIMEOUT_S)
                except KafkaException as error:
                    log.warning("kafka does not say where partition %d ends: %s", number, error)
                    return
                if end > part.position and idle:
                    self._pass_markers(number, part)
                if end <= part.position:
                    quiet[number] = Progress(part.position, now_us)
        await self.write(quiet, {})

    def _pass_markers(self, number: int, part: Part) -> None:
        """Move a whole partition to the consumer's position."""
        (at,) = self._consumer.position([TopicPartition(self._topic, number)])
        if at.error is None and at.offset > part.position:
            part.position = part.observed = at.offset

    def close(self) -> None:
        """Close the connection for what is missing."""
        self._reader.close()


def _tells(message: Message) -> bool:
    """Whether it says where the reader is: a message, or the end of the partition."""
    error = message.error()
    return error is None or error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's public constant


def take_in(card: Card, arrival: intake.Arrival, event: features.Event | None = None) -> bool:
    """Observe a payment in its card's window; False if the window has seen that offset already."""
    if arrival.partition == card.partition and arrival.offset <= card.offset:
        return False
    features.observe(card.window, arrival.payment, event or arrival.observation)
    card.partition, card.offset = arrival.partition, arrival.offset
    return True
