"""The sink: takes decisions from Kafka into PostgreSQL; offsets are committed when the database has the rows.

Killed anywhere, it takes the batch again, and repeats change nothing. While PostgreSQL is away it waits, still a member
of its group, and goes on where it was.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, Message

from clients import kafka, postgres, registry
from contracts import wire
from contracts.topics import DECISIONS, TRANSACTIONS
from errors import DeniedError, RejectedError, ServerError, UnreachableError
from serving import status_file
from serving.desk.config import config
from serving.desk.sink.migrate import migrate
from serving.desk.sink.row import Row, row
from serving.desk.sink.writing import forget, store
from serving.desk.verdicts import unsent
from serving.outbox.sender import Sender
from settings import lakehouse_home

log = logging.getLogger("alerts-sink")
GROUP = "alerts-sink"
LARGEST = 2_000
WAIT_S = 1.0
PAUSE_S = 1.0
TELL_EVERY_S = 2.0
FORGET_EVERY_S = 3_600.0
SEND_EVERY_S = 10.0


class Sink:
    """One member of the group that keeps decisions for people."""

    def __init__(self, namespace: str = "", member: str = "") -> None:
        """Open the consumer. A namespace (for tests) keeps topic and group apart from the platform's own."""
        prefix = f"{namespace}." if namespace else ""
        self._topic = prefix + DECISIONS.name
        self._consumer: Consumer = kafka.member(prefix + GROUP, member, patient=True)
        self._writer = registry.writers(DECISIONS, TRANSACTIONS)
        self._sender = Sender(prefix)
        self._connection: postgres.Connection | None = None
        self._batch: list[Message] = []
        self._file = lakehouse_home() / "status" / "alerts-sink.json"
        self._counts: Counter[str] = Counter(stored=0, alerted=0, unreadable=0)
        self._due = dict.fromkeys(("tell", "forget", "send"), 0.0)
        self.stopping = False

    def run(self) -> None:
        """Take decisions until told to stop; UnreachableError when Kafka gives up on us."""
        self._consumer.subscribe([self._topic])
        try:
            self._patiently(lambda: None)  # the tables must be there for the API, whether or not anybody pays
            while not self.stopping:
                self._batch += self._checked(self._consumer.consume(LARGEST, WAIT_S))
                if self._batch:
                    self._patiently(self._take)
                    self._commit()
                if self._is_due("forget", FORGET_EVERY_S):
                    self._patiently(self._forget)
                if self._is_due("send", SEND_EVERY_S):
                    self._patiently(self._send)
                self._tell("")
        except KafkaException as error:
            raise UnreachableError(f"kafka: {error}; see `make status`") from error
        finally:
            self._sender.close()
            self._consumer.close()
            self._drop()

    def _patiently(self, work: Callable[[], None]) -> None:
        """Do `work`, again until it succeeds or a stop is asked for."""
        troubled = False
        while not self.stopping:
            try:
                self._open()
                work()
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

    def _take(self) -> None:
        known = self._writer
        rows: list[Row] = []
        unreadable = 0
        for message in self._batch:
            try:
                rows.append(row(wire.decode(message.value(), known, "decision")[1], known))
            except RejectedError as error:  # Spark lands its bytes and the reason as a dead letter
                unreadable += 1
                log.warning("partition %s offset %s: %s", message.partition(), message.offset(), error)
        assert self._connection is not None
        try:
            alerted = store(self._connection, rows)
        except (UnreachableError, DeniedError):
            raise
        except ServerError:  # one row that the database refuses must not hold up all others for ever
            alerted, refused = self._one_by_one(rows)
            unreadable += refused
        self._counts.update(stored=len(rows), alerted=alerted, unreadable=unreadable)

    def _one_by_one(self, rows: list[Row]) -> tuple[int, int]:
        assert self._connection is not None
        alerted = refused = 0
        for each in rows:
            try:
                alerted += store(self._connection, [each])
            except (UnreachableError, DeniedError):
                raise
            except ServerError as error:
                refused += 1
                log.warning("payment at partition %s offset %s is left out: %s", each[0], each[1], error)
        return alerted, refused

    def _commit(self) -> None:
        if self.stopping:  # perhaps in the middle of waiting: what is not committed is taken again
            return
        # A partition taken from us meanwhile is another's to commit; what it repeats changes nothing.
        with suppress(KafkaException):
            self._consumer.commit(asynchronous=False)  # what was consumed is what is in the batch
        self._batch = []

    def _forget(self) -> None:
        assert self._connection is not None
        if gone := forget(self._connection, config()):
            log.info("%s decisions older than %s days forgotten", f"{gone:,}", config().decisions_days)

    def _send(self) -> None:
        assert self._connection is not None
        if sent := unsent.send(self._connection, self._sender):
            log.info("%s dispositions whose labels Kafka had not acknowledged are sent", sent)

    def _open(self) -> None:
        if self._connection is None:
            self._connection = postgres.connect()
            migrate(self._connection)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _tell(self, trouble: str) -> None:
        if not self._is_due("tell", TELL_EVERY_S) and not trouble:
            return
        status_file.write(self._file, {**self._counts, "trouble": trouble}, log)


def run(namespace: str = "", member: str = "") -> None:
    """Run one sink until SIGTERM or SIGINT."""
    sink = Sink(namespace, member)

    def stop(*_: object) -> None:
        sink.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    sink.run()
