"""Sends what the spool holds to Kafka, in its order, from a thread of its own; says where an entry came to stand."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import takewhile
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients import kafka
from contracts import decision_header
from errors import ServerError, UnreachableError
from serving.outbox.spool import Entry, Place, Spool

log = logging.getLogger(__name__)
MOST = 2_000
"""Entries on their way at once; the next ones gather meanwhile."""
PATIENCE_S = 10.0
PAUSE_S = 1.0
GATHER_S = 0.05
"""What nobody waits for goes with what comes within this time: one request of many records costs the broker, and this
process, less than many of one."""
CLOSE_S = 5.0


Headers = list[tuple[str, str | bytes | None]]


class Standing(NamedTuple):
    """Where an acknowledged record stands on Kafka."""

    partition: int
    offset: int


class Shipper:
    """The spool's other end. At least once: what was not acknowledged when the process ended is sent again."""

    def __init__(self, spool: Spool, topics: Sequence[str]) -> None:
        """Send each entry to the topic of its number in `topics`; nothing is opened before `start`."""
        self.trouble: str | None = None
        """Why nothing can be sent, while that is so."""
        self._spool, self._topics = spool, topics
        self._receipts: dict[Place, Future[Standing]] = {}
        self._appending = threading.Lock()
        """Held from an append to its receipt, so that the entry is not acknowledged between the two."""
        self._appended = threading.Event()
        self._awaited = threading.Event()
        """Somebody waits for what was appended."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process left."""
        self._thread.start()

    def append(self, entries: Sequence[Entry], receipt: Future[Standing] | None = None) -> None:
        """Put entries on the disk and on their way; ServerError when the disk does not take them.

        `receipt` will say where the last one stands, however long that takes.
        """
        with self._appending:
            after = self._spool.append(entries)
            if receipt is not None:
                self._receipts[after] = receipt
                self._awaited.set()
        self._appended.set()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that Kafka does not have yet, about."""
        return self._spool.waiting_bytes

    def close(self) -> None:
        """Send what is there for a moment more, then stop; the rest stays on the disk for the next start."""
        self._closing.set()
        self._appended.set()
        self._awaited.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S + PATIENCE_S)
        self._spool.close()

    def _run(self) -> None:
        producer = kafka.producer(linger_ms=0, patience_s=PATIENCE_S)
        while True:
            self._appended.clear()
            self._awaited.clear()
            sent = self._try(producer)
            if self._closing.is_set():
                if not sent:
                    return
            elif self.trouble:
                self._closing.wait(PAUSE_S)
            else:
                if not sent:
                    self._appended.wait()
                self._awaited.wait(GATHER_S)

    def _try(self, producer: Producer) -> bool:
        try:
            sent = self._send(producer, CLOSE_S if self._closing.is_set() else PATIENCE_S)
        except (ServerError, KafkaException, OSError) as error:
            if self.trouble is None:
                log.warning("decisions wait on disk: %s", error)
            self.trouble = str(error)
            return False
        if self.trouble is not None:
            log.info("decisions that waited on disk are being sent")
        self.trouble = None
        return sent

    def _send(self, producer: Producer, within_s: float) -> bool:
        """Send the next entries and wait until the broker has all of them; returns whether there were any.

        UnreachableError when it has not in time; those before the first that it lacks are done with all the same, so
        that a slow broker is overtaken by no repeat.
        """
        batch = self._spool.read(self._spool.sent, MOST)
        standing: dict[Place, Standing] = {}
        failed: list[KafkaError] = []
        under_way: list[Place] = []
        for entry, after in batch:
            headers: Headers = [(decision_header.NAME, entry.header)] if entry.header else []
            delivered = _delivered(after, standing, failed)
            topic = self._topics[entry.topic]
            try:
                producer.produce(topic, entry.value, entry.key, headers=headers, on_delivery=delivered)
            except BufferError:  # the rest goes with the next ones
                break
            under_way.append(after)
            producer.poll(0)
        end = time.monotonic() + within_s
        while len(standing) + len(failed) < len(under_way) and not failed and time.monotonic() < end:
            producer.poll(0.1)
        if len(standing) < len(under_way):
            producer.purge()
            producer.flush(PAUSE_S)
            self._spool.flush()
        self._acknowledge(list(takewhile(standing.__contains__, under_way)), standing)
        if len(standing) < len(under_way) or (batch and not under_way):
            raise UnreachableError(f"kafka does not acknowledge them: {failed[0] if failed else 'no answer'}")
        return bool(batch)

    def _acknowledge(self, places: Sequence[Place], standing: Mapping[Place, Standing]) -> None:
        if not places:
            return
        with self._appending:
            self._spool.acknowledge(places[-1])
            for after in places:
                if receipt := self._receipts.pop(after, None):
                    receipt.set_result(standing[after])


def _delivered(
    after: Place, standing: dict[Place, Standing], failed: list[KafkaError]
) -> Callable[[KafkaError | None, Message], None]:
    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            standing[after] = Standing(message.partition() or 0, message.offset() or 0)
        else:
            failed.append(error)

    return delivered
