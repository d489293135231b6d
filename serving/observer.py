"""Keeps every card's window true to Kafka: knows how far each partition is observed, and observes what is missing.

Redis's progress is the truth. While it is behind the next payment to decide (Redis was away, came back empty, or this
process was killed between two steps), the partition's windows are not to be trusted: its payments are decided without,
and what is missing is read from Kafka again and observed, not decided, until both meet.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

import features
from clients import kafka
from errors import ServerError
from serving import intake
from serving.pipe import Pipe
from serving.window_store import HELD, NONE, PROGRESS_KEYS, Card, Progress, key, read, write

log = logging.getLogger(__name__)
MEMORY_S = 25 * 3_600
"""Of lost windows the last 25 hours are made again: their longest span, and room for lateness."""
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

    def __init__(self, pipe: Pipe, consumer: Consumer, topic: str, writer: intake.Writer) -> None:
        """Use `pipe` to Redis, and `consumer`, whose partitions these are, to ask Kafka for offsets of `topic`."""
        self.parts: dict[int, Part] = {}
        self._pipe, self._consumer, self._topic, self._writer = pipe, consumer, topic, writer
        self._reader = kafka.reader("windows")
        self._reading: tuple[int, int] | None = None
        self._beat = 0.0

    def join(self, partitions: Iterable[int]) -> None:
        """Take partitions over, from where the group committed; KafkaException if Kafka does not say where."""
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        for found in self._consumer.committed(wanted, TIMEOUT_S):
            first, _ = self._consumer.get_watermark_offsets(found, TIMEOUT_S)
            self.parts[found.partition] = Part(max(found.offset, first))

    def leave(self, partitions: Iterable[int]) -> None:
        """Give partitions up."""
        for partition in partitions:
            self.parts.pop(partition, None)

    async def write(self, progress: Mapping[int, Progress], cards: Mapping[str, Card]) -> None:
        """Store cards and progress of whole partitions; if Redis is away or has other progress, they are not whole."""
        steps = {
            partition: (part.stored, Progress(max(part.stored, new.next_offset), new.at_us))
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
                if not part.whole:
                    return await self._observe_chunk(number, part)
        return False

    async def _ask(self, number: int, part: Part) -> bool:
        """Ask Redis how far a partition is observed; False if it does not say, or its windows are being forgotten."""
        try:
            value = (await self._pipe.send([(b"GET", PROGRESS_KEYS[number])]))[0]
        except ServerError:
            return False
        stored = Progress.unpack(value).next_offset
        if stored == HELD:
            return False
        part.stored = part.observed = stored
        if stored == NONE:
            since = TopicPartition(self._topic, number, int((time.time() - MEMORY_S) * 1_000))
            found = self._consumer.offsets_for_times([since], TIMEOUT_S)[0].offset
            part.observed = min(found, part.position) if found >= 0 else part.position
        if not part.whole:
            log.warning("partition %d: windows of offsets %d to %d are observed again; until then its payments are "
                        "decided without", number, part.observed, part.position)  # fmt: skip
        return True

    async def _observe_chunk(self, number: int, part: Part) -> bool:
        if self._reading != (number, part.observed):
            self._reader.assign([TopicPartition(self._topic, number, part.observed)])
            self._reading = number, part.observed
        messages = [message for message in self._reader.consume(CHUNK, 0.2) if message.error() is None]
        missing = messages[: part.position - part.observed]
        if not missing:
            return False
        if len(missing) < len(messages):
            self._reading = None  # the reader is ahead of what is decided, and must go back
        batch = intake.read(missing, self._writer)
        end = batch.ends[number]
        owners = {arrival.payment["card_id"]: number for arrival in batch.arrivals}
        try:
            values = (await self._pipe.send([(b"MGET", *map(key, owners))]))[0] if owners else []
        except ServerError:
            self.doubt()
            return False
        cards = read(owners, values)
        for arrival in batch.arrivals:
            take_in(cards[arrival.payment["card_id"]], arrival)
        await self.write({number: Progress(end, batch.last_us[number])}, cards)
        if self._reading:
            self._reading = number, end
        if part.whole:
            log.info("partition %d: windows are whole again at offset %d", number, part.observed)
        return True

    async def heartbeat(self) -> None:
        """Every few seconds: where nothing waits on Kafka, say that all of it is observed up to now."""
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
                if end <= part.position:
                    quiet[number] = Progress(part.position, now_us)
        await self.write(quiet, {})

    def close(self) -> None:
        """Close the connection for what is missing."""
        self._reader.close()


def take_in(card: Card, arrival: intake.Arrival) -> bool:
    """Observe a payment in its card's window; False if the window has seen that offset already."""
    if arrival.partition == card.partition and arrival.offset <= card.offset:
        return False
    features.observe(card.window, arrival.payment)
    card.partition, card.offset = arrival.partition, arrival.offset
    return True
