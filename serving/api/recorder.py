"""Every decision that this scorer answers becomes an event: on its disk before the answer, then on Kafka, in order."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from contracts import decision_header, schemas, wire
from contracts.topics import ALERTS, DECISIONS, TRANSACTIONS
from errors import ServerError
from serving.decide.record import Record
from serving.http.problems import ProblemError
from serving.outbox.schema_ids import SchemaIds
from serving.outbox.shipper import Shipper, Standing
from serving.outbox.spool import Entry, Spool

TOPICS = (DECISIONS, ALERTS, TRANSACTIONS)
NUMBER = {topic.name: number for number, topic in enumerate(TOPICS)}
APPROVE = "approve"


class Recorder:
    """The spool of one scorer and its shipper, with the ids under which records are framed."""

    def __init__(self, folder: Path, ids_file: Path, key: bytes, prefix: str = "") -> None:
        """Keep what waits in `folder`; `key` signs which decision a payment to observe has; `prefix` is of topics."""
        self._ids = SchemaIds(TOPICS, ids_file)
        self._shipper = Shipper(Spool(folder), [prefix + topic.name for topic in TOPICS])
        self._key = key

    def start(self) -> None:
        """Ask for ids, and begin to send what an earlier process left."""
        self._ids.start()
        self._shipper.start()

    def close(self) -> None:
        """Send what waits for a moment more; the rest stays on disk for the next start."""
        self._ids.stop()
        self._shipper.close()

    @property
    def trouble(self) -> str | None:
        """Why decisions cannot be recorded, or wait; None: they are on Kafka within a tenth of a second."""
        return self._ids.trouble if self._ids.known is None else self._shipper.trouble

    @property
    def is_ready(self) -> bool:
        """Whether decisions can be recorded."""
        return self._ids.known is not None

    @property
    def waiting_bytes(self) -> int:
        """Bytes on disk that Kafka does not have yet, about."""
        return self._shipper.waiting_bytes

    def payment(self, record: Mapping[str, Any]) -> bytes:
        """Return a validated payment as it stands on Kafka, framed."""
        return wire.encode(
            schemas.defaults("transaction") | dict(record), schemas.parsed("transaction"), self._id(TRANSACTIONS.name)
        )

    def decision(self, record: Record) -> bytes:
        """Return a decision record as it stands on Kafka, framed."""
        return wire.encode(record, schemas.parsed("decision"), self._id(DECISIONS.name))

    def record(self, decision: bytes, record: Record) -> None:
        """Put a decision on the disk, and a copy for those who act where it is not approved; ProblemError 503: full."""
        self._append(self._decided(decision, record), None)

    async def record_and_observe(self, decision: bytes, record: Record, within_s: float) -> Standing | None:
        """Do the same, and have the payment observed; return where it stands, None if Kafka has not said so in time.

        It is on the disk then, and on Kafka as soon as that answers.
        """
        receipt: Future[Standing] = Future()
        receipt.set_running_or_notify_cancel()  # a caller may go away; the payment is on its way all the same
        payment = record["payment"]
        header = decision_header.sign(self._key, record["decision_id"], payment)
        observed = Entry(NUMBER[TRANSACTIONS.name], record["card_id"].encode(), payment, header)
        self._append([*self._decided(decision, record), observed], receipt)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(receipt), within_s)
        except TimeoutError:
            return None

    def _decided(self, decision: bytes, record: Record) -> list[Entry]:
        key = record["card_id"].encode()
        entries = [Entry(NUMBER[DECISIONS.name], key, decision)]
        if record["decision"] != APPROVE:
            alert = wire.framed_as(decision, self._id(ALERTS.name))
            entries.append(Entry(NUMBER[ALERTS.name], key, alert))
        return entries

    def _append(self, entries: list[Entry], receipt: "Future[Standing] | None") -> None:
        try:
            self._shipper.append(entries, receipt)
        except ServerError as error:
            raise ProblemError(503, "cannot_record", "this scorer's disk takes no record; ask another") from error

    def _id(self, topic: str) -> int:
        known = self._ids.known
        if known is None:
            raise ProblemError(
                503,
                "cannot_record",
                "the schema registry has not answered since this scorer was first started; ask again in a few seconds",
            )
        return known[topic]


def restored(decision: bytes) -> Record:
    """Return the record in a framed decision of our own schema."""
    return wire.decode(decision, lambda _: schemas.parsed("decision"), "decision")[1]
