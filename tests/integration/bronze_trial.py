"""A Bronze driver of a test's own beside the platform's: topics, tables, checkpoint and lease in a namespace."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable

from clients import delta, kafka, registry, s3
from contracts import schemas, topics, wire
from contracts.deadletter import Context
from errors import RejectedError
from settings import PROJECT_DIR, settings
from streaming.columns import bronze_schema
from streaming.places import TABLES, Places

Origin = tuple[str, int, int]
"""Topic, partition, offset."""


def payment(number: int, **changes: Any) -> dict[str, Any]:
    """Return a good payment; `number` makes it one of its kind."""
    required = {
        "source": "test",
        "transaction_id": f"t{number}",
        "event_time": time.time_ns() // 1000,
        "card_id": random.Random(number).randbytes(32).hex(),
        "amount_minor": 100 + number,
        "currency": "EUR",
    }
    return schemas.defaults("transaction") | required | changes


def label(number: int, **changes: Any) -> dict[str, Any]:
    """Return a good label event for the payment of the same number."""
    told = {
        "source": "test",
        "transaction_id": f"t{number}",
        "verdict": "fraud",
        "known_at": time.time_ns() // 1000,
        "origin": "issuer_report",
    }
    return schemas.defaults("label") | told | changes


class Trial:
    """The places of one test, records sent to them, and what came of them."""

    def __init__(self) -> None:
        self.namespace = f"test-{uuid.uuid4().hex[:8]}"
        self.places = Places(self.namespace)
        self.payments, self.labels, self.decisions = self.places.topics
        self.processes: list[subprocess.Popen[str]] = []
        admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
        made = [kafka.new_topic(topic, self.namespace) for topic in topics.TOPICS]
        for future in admin.create_topics(made).values():
            future.result(30)
        self.schemas = {topic: TABLES[table] for topic, table in self.places.topics.items()}
        self.ids = {
            topic: self.register(schemas.text(schema), subject=f"{topic}-value")
            for topic, schema in self.schemas.items()
        }
        self.writer = registry.writers(also=[f"{topic}-value" for topic in self.places.topics])
        self.producer = kafka.producer()

    def register(self, schema: str, kind: str = "AVRO", subject: str = "") -> int:
        """Register a writer's schema under the trial's own subject of payments, or another, and return its id."""
        url = f"{settings().registry_url}/subjects/{subject or self.payments + '-value'}/versions"
        return int(httpx.post(url, json={"schema": schema, "schemaType": kind}).raise_for_status().json()["id"])

    def framed(self, record: dict[str, Any], topic: str | None = None) -> bytes:
        """Return a record as our own writers frame it."""
        topic = topic or self.payments
        return wire.encode(record, schemas.parsed(self.schemas[topic]), self.ids[topic])

    def send(self, values: Iterable[bytes | None], topic: str | None = None) -> list[Origin]:
        """Send values and return where each went, once the broker has them all."""
        topic = topic or self.payments
        places: list[Any] = []

        def received(error: Any, message: Any) -> None:
            places.append(error or (message.partition(), message.offset()))

        values = list(values)
        for row, value in enumerate(values):
            self.producer.poll(0)
            self.producer.produce(topic, value, self._key(value) or f"key-{row}".encode(), on_delivery=received)
        assert self.producer.flush(60) == 0
        assert len(places) == len(values)
        return [(topic, *place) for place in places]

    def _key(self, value: bytes | None) -> bytes | None:
        """Return the key of a payment as ours are: its card; None where the trial cannot read it."""
        try:
            _, record = wire.decode(value, self.writer, "transaction")
            return str(record["card_id"]).encode()
        except RejectedError:
            return None

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start a driver; its output goes to a file, for the message of a failed test."""
        return self._run(["-m", "streaming", "bronze", "--namespace", self.namespace, *options])

    def _run(self, command: list[str]) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=PROJECT_DIR, stdout=log, stderr=subprocess.STDOUT, text=True
            )
        self.processes.append(process)
        return process

    def once(self, *options: str) -> None:
        """Land all that is on Kafka now."""
        process = self.start("--once", *options)
        assert process.wait(300) == 0, self.said()

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a driver as a machine's failure would: no last word."""
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def close(self) -> None:
        """End what still runs and leave nothing behind but the log."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        for folder in ("bronze", "_checkpoints", "_leases"):
            for key in list(s3.keys(f"{folder}/{self.namespace}/", "spark")):
                s3.delete(key, "spark")
        admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
        for future in admin.delete_topics([f"{self.namespace}.{t.name}" for t in topics.TOPICS]).values():
            future.result(30)
        self.places.status_file.unlink(missing_ok=True)

    @property
    def log(self) -> Path:
        """What the drivers of this trial printed."""
        folder = Path(os.environ["LAKEHOUSE_HOME"]) / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{self.namespace}.log"

    def said(self) -> str:
        """Return the end of what the drivers printed."""
        return self.log.read_text()[-3000:] if self.log.exists() else ""

    def status(self) -> dict[str, Any]:
        """Return the driver's status file; empty before it wrote one."""
        try:
            return json.loads(self.places.status_file.read_text())
        except FileNotFoundError:
            return {}

    def table(self, name: str = "transactions") -> DeltaTable:
        """Open a Bronze table as a reader of the lake does."""
        return DeltaTable(self.uri(name), storage_options=delta.options())

    def rows(self, name: str = "transactions") -> pa.Table:
        """Return all rows of a Bronze table; empty before there is one."""
        if not DeltaTable.is_deltatable(self.uri(name), delta.options()):
            return bronze_schema(name).empty_table()
        return delta.dataset(self.table(name)).to_table()

    def uri(self, name: str) -> str:
        """Return the address of a Bronze table."""
        return f"s3://{settings().s3_bucket}/{self.places.table(name)}"

    def landed(self) -> list[Origin]:
        """Return where each Bronze row came from."""
        found: list[Origin] = []
        for name in TABLES:
            rows = self.rows(name).select(["source_topic", "source_partition", "source_offset"])
            found += [tuple(row.values()) for row in rows.to_pylist()]
        return found

    def letters(self) -> dict[Origin, tuple[Context, bytes | None, bytes | None]]:
        """Return each letter's origin with its context, key and value."""
        found = {}
        for message in kafka.read_all(self.places.dead_letters):
            context = Context.read(message.headers() or [])
            origin = (context.source_topic or "", context.source_partition or 0, context.source_offset or 0)
            found[origin] = (context, message.key(), message.value())
        return found

    def acknowledged(self) -> set[Origin]:
        """Return every offset of the topics that land."""
        return {
            (topic, partition, offset)
            for topic in self.places.topics
            for partition, (first, end) in kafka.offsets(topic).items()
            for offset in range(first, end)
        }

    def assert_balance(self) -> None:
        """Every acknowledged offset is one Bronze row or one letter's origin, none is both and none is twice."""
        landed, letters = self.landed(), set(self.letters())
        twice = [origin for origin, count in Counter(landed).items() if count > 1]
        assert not twice, f"{len(twice)} offsets are in Bronze more than once: {twice[:5]}\n{self.said()}"
        assert not set(landed) & letters
        missing = self.acknowledged() - set(landed) - letters
        assert not missing, f"{len(missing)} offsets are nowhere: {sorted(missing)[:5]}\n{self.said()}"
        assert set(landed) | letters == self.acknowledged()
