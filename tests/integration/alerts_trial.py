"""Alerts of a test's own: topics in a namespace, a database of its own in the stack's PostgreSQL, a sink, a scorer."""

import hashlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg import sql
from psycopg.rows import dict_row

from clients import kafka, registry
from contracts import schemas, topics, wire
from infra.native import stackenv
from infra.native.paths import current_home
from infra.native.state.asking import postgres_as_superuser
from settings import PROJECT_DIR, settings
from tests import decisions
from tests.scorer_process import NOWHERE, Desk, Process, Scorer, Valkey, until

Record = dict[str, Any]
TOPICS = (topics.TRANSACTIONS, topics.DECISIONS, topics.ALERTS, topics.LABELS, topics.POLICY)
CRASHING = """
import os, signal, sys
from serving.desk.sink import consumer as sink
store, left = sink.store, [int(sys.argv[2])]
def store_then_die(connection, rows):
    done = store(connection, rows)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
sink.store = store_then_die
sink.LARGEST = 50
sink.run(sys.argv[1], "only")
"""
"""A sink that is killed when the database has its n-th batch and Kafka does not know."""


def card_of(number: int) -> str:
    """Return the hash that stands for a test's card."""
    return hashlib.sha256(b"card %d" % number).hexdigest()


def payment(card: int, name: str, ago_s: float = 0, minor: int = 10_000, **changes: Any) -> Record:
    """Return a payment of so long ago."""
    return (
        schemas.defaults("transaction")
        | {
            "source": "trial",
            "transaction_id": name,
            "event_time": time.time_ns() // 1_000 - int(ago_s * 1e6),
            "card_id": card_of(card),
            "amount_minor": minor,
            "currency": "USD",
            "message_type": "authorization",
            "merchant_id": f"m{minor % 7}",
            "mcc": "5732",
            "entry_mode": "ecommerce",
        }
        | changes
    )


class AlertsTrial:
    """Topics, database and processes of one test; decisions are sent as the stream sends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"test_{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.name}.{topics.DECISIONS.name}"
        self.labels = f"{self.name}.{topics.LABELS.name}"
        self.admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
        made = [kafka.new_topic(topic, self.name) for topic in TOPICS]
        for future in self.admin.create_topics(made).values():
            future.result(30)
        self.env = stackenv.required(current_home())
        with postgres_as_superuser(self.env) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER alerts").format(sql.Identifier(self.name)))
        self.url = self.env["ALERTS_DATABASE_URL"].rpartition("/")[0] + "/" + self.name
        self.payment_schema_id = registry.schema_id(topics.TRANSACTIONS)
        self.schema_id = registry.schema_id(topics.DECISIONS)
        self.home = folder / "home"
        self.processes: list[Process] = []
        self.valkey: Valkey | None = None
        self.offset = 0

    def sink(self, *, crash_after: int = 0) -> Process:
        """Start a sink, one that dies after some batches if told so."""
        arguments = (
            ["-c", CRASHING, self.name, str(crash_after)]
            if crash_after
            else ["-m", "serving", "alerts-sink", "--namespace", self.name, "--member", "only"]
        )
        environment = self.env | {"PATH": "/usr/bin:/bin", "LAKEHOUSE_HOME": str(self.home)}
        process = Process(
            [sys.executable, *arguments], environment | {"ALERTS_DATABASE_URL": self.url}, self.folder / "sink.log"
        )
        process.start()
        self.processes.append(process)
        return process

    def scorer(self) -> Scorer:
        """Start a scorer with the tiny model over the same topics."""
        scorer = Scorer.at(self.home, self.redis().url, NOWHERE, **self._servers())
        scorer.cache_model()
        self.processes.append(scorer)
        scorer.start_ready()
        return scorer

    def desk(self, api_url: str = NOWHERE, **extra: str) -> Desk:
        """Start a desk over the same database and topics; `extra` are further settings."""
        made = Desk.at(
            self.home,
            self.redis().url,
            API_URL=api_url,
            ALERTS_DATABASE_URL=self.url,
            ALERTS_HEARTBEAT_S="0.5",
            **self._servers(),
            **extra,
        )
        self.processes.append(made)
        made.start_ready()
        return made

    def redis(self) -> Valkey:
        """Return a Redis of the trial's own, started."""
        if self.valkey is None:
            self.valkey = Valkey.at(self.folder)
            self.valkey.start()
            self.processes.append(self.valkey)
        return self.valkey

    def _servers(self) -> dict[str, str]:
        names = ("KAFKA_BOOTSTRAP", "REGISTRY_URL")
        return {name: self.env[name] for name in names} | {"SERVING_NAMESPACE": self.name}

    def decision(self, card: int, name: str, ago_s: float = 0, minor: int = 10_000, **changes: Any) -> Record:
        """Return a decision on a payment of so long ago, review unless said otherwise."""
        reasons = [{"code": "velocity", "text": "6 payments in 5 minutes; this card's usual day has 2", "weight": 2.1}]
        made = {"decision": "review", "score": 0.8, "reasons": json.dumps(reasons)} | changes
        return self.decided(card, payment(card, name, ago_s, minor), **made)

    def decided(self, card: int, paid: Record, **changes: Any) -> Record:
        """Return a decision on a payment, which is the next on its partition."""
        self.offset += 1
        names = ("source", "transaction_id", "card_id", "event_time")
        made = {name: paid[name] for name in names} | {
            "payment_partition": card % 4,
            "payment_offset": self.offset,
            "threshold": 0.5,
            "decided_at": paid["event_time"] + 4_000,
            "payment": wire.encode(paid, schemas.parsed("transaction"), self.payment_schema_id),
        }
        found = decisions.decision(**(made | changes))
        return found | ({"reasons": "[]"} if found["decision"] == "approve" else {})

    def send(self, records: Iterable[Record]) -> None:
        """Send decisions, keyed by card, and wait until the broker has them."""
        producer, schema = kafka.producer(), schemas.parsed("decision")
        for record in records:
            producer.produce(self.topic, wire.encode(record, schema, self.schema_id), record["card_id"].encode())
        assert producer.flush(60) == 0

    def rows(self, query: str, *parameters: Any) -> list[Record]:
        """Return the rows of a query on the trial's database; none while it has no tables."""
        try:
            with psycopg.connect(self.url, row_factory=dict_row, connect_timeout=5) as connection:
                return connection.execute(query, parameters).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        found = self.rows(f"SELECT count(*) AS n FROM {table}")
        return found[0]["n"] if found else 0

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of serving over the trial's database."""
        environment = self.env | {"PATH": "/usr/bin:/bin", "LAKEHOUSE_HOME": str(self.home)}
        return subprocess.run(
            [sys.executable, "-m", "serving", *arguments],
            env=environment | {"ALERTS_DATABASE_URL": self.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=PROJECT_DIR,
        )

    def wait_for(self, decided: int) -> None:
        """Wait until so many decisions are in the database and Kafka knows."""
        until(lambda: self.count("decisions") >= decided, f"{decided} decisions in PostgreSQL\n{self.said()}", 60)

    def sent_labels(self) -> list[Record]:
        """Return every label on Kafka."""
        return [
            wire.decode(message.value(), lambda _: schemas.parsed("label"), "label")[1]
            for message in kafka.read_all(self.labels)
        ]

    def said(self) -> str:
        """Return the end of what the sinks said."""
        log = self.folder / "sink.log"
        return log.read_text()[-3_000:] if log.exists() else ""

    def end(self) -> None:
        """End everything, and remove topics and database."""
        for process in self.processes:
            process.kill()
        for future in self.admin.delete_topics([f"{self.name}.{topic.name}" for topic in TOPICS]).values():
            future.exception(30)
        with postgres_as_superuser(self.env) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))
