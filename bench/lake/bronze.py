"""Bronze catch-up: a backlog on topics of its own, landed by the platform's driver in a namespace of its own.

The lake stays as it was, and nothing is sent while the driver works. The first batches are cold and not counted.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench import stack
from bench.figures import Figure, Section, at_least
from bench.load import payments, traffic
from clients import kafka, s3
from contracts.topics import TOPICS, TRANSACTIONS
from errors import ServerError
from lake import reading
from lake.tables import BRONZE_TRANSACTIONS, Table
from settings import settings

BATCH = 100_000
COLD = 2
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Commit:
    """One append: when it was committed (Unix seconds) and how many rows it added."""

    at: float
    rows: int


def measure(warm: int = 5) -> Section:
    """Land `warm` batches of 100,000 payments after two cold ones; one rate a warm batch."""
    with namespace() as name:
        topic = f"{name}.{TRANSACTIONS.name}"
        found = payments.sample()
        sent = 0
        for part in range(COLD + warm):
            messages = traffic.encode(payments.to_send(found, BATCH, seed=part))
            sent += traffic.burst(messages, topic).acknowledged
        stack.run(
            "streaming",
            "bronze",
            "--namespace",
            name,
            "--once",
            "--max-offsets",
            str(BATCH),
            environment=stack.variables(),
        )
        commits = appends(Table("bronze", f"{name}/{BRONZE_TRANSACTIONS.name}"))
    landed = sum(commit.rows for commit in commits)
    if landed != sent:
        raise ServerError(f"{sent:,} payments were acknowledged and {landed:,} landed in Bronze")
    note = f"{sent:,} sent and landed; batches of {BATCH:,}, commit to commit, after {COLD} cold ones"
    return Section("Bronze", [Figure("catch-up, warm", "payments/s", rates(commits), at_least(10_000), note)])


def rates(commits: list[Commit]) -> list[float]:
    """Return the rows/s of each warm and full batch: its rows over the time since the commit before."""
    pairs = zip(commits[COLD - 1 :], commits[COLD:], strict=False)
    return [commit.rows / (commit.at - before.at) for before, commit in pairs if commit.rows > BATCH / 2]


def appends(table: Table) -> list[Commit]:
    """Return the commits of `table` that added rows, oldest first; compactions add none."""
    history: list[dict[str, Any]] = reading.open_table(table).history()
    found = [
        Commit(entry["timestamp"] / 1_000, int(entry.get("operationMetrics", {}).get("numOutputRows", 0)))
        for entry in history
        if entry["operation"] in {"WRITE", "STREAMING UPDATE"}
    ]
    return sorted((commit for commit in found if commit.rows), key=lambda commit: commit.at)


@contextmanager
def namespace() -> Iterator[str]:
    """Make topics under a name of their own, and leave neither them nor anything in the bucket behind."""
    name = f"bench-{os.urandom(3).hex()}"
    admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
    topics = [kafka.new_topic(topic, name) for topic in TOPICS]
    try:
        for future in admin.create_topics(topics).values():
            future.result(TIMEOUT_S)
        yield name
    except KafkaException as error:
        raise ServerError(f"kafka: topics of {name}: {error}") from error
    finally:
        for future in admin.delete_topics([topic.topic for topic in topics]).values():
            future.exception(TIMEOUT_S)  # one that was never made needs no deleting
        for prefix in (f"bronze/{name}/", f"_checkpoints/{name}/", f"_leases/{name}/"):
            for key in list(s3.keys(prefix, "spark")):
                s3.delete(key, "spark")
