"""The sink: takes decisions from Kafka into PostgreSQL; offsets are committed when the database has the rows.

Killed anywhere, it takes the batch again, and repeats change nothing. What is wrong with one decision leaves out that
one, which is kept as refused; whatever is wrong with the database is waited for, still a member of the group.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, Message

from clients import kafka, postgres, registry
from contracts.topics import DECISIONS, TRANSACTIONS
from errors import RefusedValueError, RejectedError, ServerError, UnreachableError
from serving import status_file
from serving.desk.config import config
from serving.desk.sink import refused
from serving.desk.sink.keeping import forget, make_days
from serving.desk.sink.migrate import migrate
from serving.desk.sink.refused import Refused
from serving.desk.sink.row import Row
from serving.desk.sink.writing import store
from serving.desk.verdicts.unsent import Resender
from settings import lakehouse_home

log = logging.getLogger("alerts-sink")
GROUP = "alerts-sink"
LARGEST = 2_000
WAIT_S = 1.0
PAUSE_S = 1.0
TELL_EVERY_S = 2.0
FORGET_EVERY_S = 3_600.0


class Sink:
    """One member of the group that keeps decisions for people."""

    def __init__(self, namespace: str = "", member: str = "") -> None:
        """Open the consumer. A namespace (for tests) keeps topic and group apart from the platform's own."""
        prefix = f"{namespace}." if namespace else ""
        self._topic = prefix + DECISIONS.name
        self._consumer: Consumer = kafka.member(prefix + GROUP, member, patient=True)
        self._writer = registry.writers(DECISIONS, TRANSACTIONS)
        self._labels = Resender(prefix)
        self._kept: postgres.Connection | None = None
        self._batch: list[Message] = []
        self._file = lakehouse_home() / "status" / "alerts-sink.json"
        self._counts: Counter[str] = Counter(stored=0, alerted=0, refused=0)
        self._due = dict.fromkeys(("tell", "forget"), 0.0)
        self.stopping = False

    def run(self) -> None:
        """Take decisions until told to stop; UnreachableError when Kafka gives up on us."""
        self._consumer.subscribe([self._topic])
        self._labels.start()
        try:
            self._patiently(self._days)  # the tables must be there for the desk, whether or not anybody pays
            while not self.stopping:
                self._batch += self._checked(self._consumer.consume(LARGEST, WAIT_S))
                if self._batch:
                    self._patiently(self._take)
                    self._commit()
                if self._is_due("forget", FORGET_EVERY_S):
                    self._patiently(self._forget)
                self._tell("")
        except KafkaException as error:
            raise UnreachableError(f"kafka: {error}; see `make status`") from error
        finally:
            self._labels.stop()
            self._consumer.close()
            self._drop()

    def _patiently(self, work: Callable[[postgres.Connection], None]) -> None:
        """Do `work`, again until it succeeds or a stop is asked for."""
        troubled = False
        while not self.stopping:
            try:
                work(self._connection())
            except ServerError as error:
                if not troubled:
                    log.warning("waiting: %s", error)
                troubled = True
                self._drop()
                self._tell(str(error))
                self._keep_membership()
                continue
            if troubled:
                log.info("going on")
                self._consumer.resume(self._consumer.assignment())
            return

    def _keep_membership(self) -> None:
        # A member that does not poll is put out of its group. Partitions given to us meanwhile are not paused yet: what
        # they bring joins the batch.
        self._consumer.pause(self._consumer.assignment())
        self._batch += self._checked(self._consumer.consume(LARGEST, PAUSE_S))

    def _checked(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        return messages

    def _take(self, connection: postgres.Connection) -> None:
        now_us = time.time_ns() // 1_000
        read: list[tuple[Message, Row]] = []
        left: list[Refused] = []
        for message in self._batch:
            try:
                read.append((message, refused.read(message.value(), self._writer, now_us)))
            except RejectedError as error:
                left.append(refused.of(message, error))
        make_days(connection, (row for _, row in read), config())
        try:
            alerted = store(connection, [row for _, row in read])
        except RefusedValueError:  # one row must not hold up all others for ever
            alerted, unstorable = self._one_by_one(connection, read)
            left += unstorable
        if left:
            refused.keep(connection, left)
            for each in left:
                place = (each.topic, each.partition, each.offset)
                log.warning("%s partition %s offset %s is left out: %s", *place, f"{each.code}: {each.reason}")
        self._counts.update(stored=len(self._batch) - len(left), alerted=alerted, refused=len(left))

    def _one_by_one(
        self, connection: postgres.Connection, read: list[tuple[Message, Row]]
    ) -> tuple[int, list[Refused]]:
        alerted, left = 0, []
        for message, row in read:
            try:
                alerted += store(connection, [row])
            except RefusedValueError as error:
                left.append(refused.of(message, refused.not_storable(error)))
        return alerted, left

    def _commit(self) -> None:
        if self.stopping:  # perhaps in the middle of waiting: what is not committed is taken again
            return
        # A partition taken from us meanwhile is another's to commit; what it repeats changes nothing.
        with suppress(KafkaException):
            self._consumer.commit(asynchronous=False)  # what was consumed is what is in the batch
        self._batch = []

    def _days(self, connection: postgres.Connection) -> None:
        make_days(connection, (), config())

    def _forget(self, connection: postgres.Connection) -> None:
        make_days(connection, (), config())
        if ended := forget(connection, config()):
            log.info("decisions of %s to %s are dropped", ended[0], ended[-1])

    def _connection(self) -> postgres.Connection:
        if self._kept is None:
            opened = postgres.connect()
            try:
                migrate(opened)
            except ServerError:
                opened.close()
                raise
            self._kept = opened
        return self._kept

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _tell(self, trouble: str) -> None:
        if not self._is_due("tell", TELL_EVERY_S) and not trouble:
            return
        status_file.write(self._file, {**self._counts, "trouble": trouble, "labels_waiting": self._labels.trouble}, log)


def run(namespace: str = "", member: str = "") -> None:
    """Run one sink until SIGTERM or SIGINT."""
    sink = Sink(namespace, member)

    def stop(*_: object) -> None:
        sink.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sink.run()
