"""Where one Bronze driver reads and writes: its flows of topics to tables, their checkpoints, lease and status file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.topics import DEAD_LETTERS, DECISIONS, LABELS, TRANSACTIONS
from errors import InputError
from settings import lakehouse_home, settings

TABLES: Mapping[str, str] = {"transactions": "transaction", "labels": "label", "decisions": "decision"}
"""Bronze table to the contract's schema of its rows."""


@dataclass(frozen=True)
class Flow:
    """What one query of the driver lands: topic to Bronze table, under a checkpoint of its own."""

    places: "Places"
    name: str
    topics: Mapping[str, str]
    pace: int
    """How many of the driver's triggers from one batch to the next: a batch costs by its commits, not by its rows."""

    @property
    def checkpoint(self) -> str:
        """The S3 key of the query's checkpoint folder."""
        return self.places.checkpoint(self.name)


@dataclass(frozen=True)
class Places:
    """The places of one driver. A namespace (for tests and trials) keeps all of them apart from the platform's own."""

    namespace: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]*", self.namespace):
            raise InputError(f"namespace {self.namespace!r}: only lower-case letters, digits and dashes")

    @property
    def flows(self) -> tuple[Flow, Flow]:
        """Payments and labels, which people wait to see; decisions, which Kafka's readers have already."""
        payments = {self._topic(TRANSACTIONS.name): "transactions", self._topic(LABELS.name): "labels"}
        decisions = {self._topic(DECISIONS.name): "decisions"}
        return Flow(self, "payments", payments, 1), Flow(self, "decisions", decisions, 20)

    @property
    def topics(self) -> dict[str, str]:
        """Topic to Bronze table, of all flows."""
        return {topic: table for flow in self.flows for topic, table in flow.topics.items()}

    def contract(self, topic: str) -> str:
        """Return the name of a topic's contract: the topic's, without the namespace."""
        return topic.removeprefix(f"{self.namespace}.") if self.namespace else topic

    @property
    def dead_letters(self) -> str:
        """The topic of what was refused."""
        return self._topic(DEAD_LETTERS.name)

    def table(self, name: str) -> str:
        """Return the S3 key of a Bronze table's folder."""
        return f"bronze/{self._folder}{name}"

    def checkpoint(self, flow: str) -> str:
        """Return the S3 key of a flow's checkpoint folder."""
        return f"_checkpoints/{self._folder}{flow}"

    @property
    def lease(self) -> str:
        """The S3 key of the driver's lease."""
        return f"_leases/{self._folder}bronze.json"

    @property
    def status_file(self) -> Path:
        """What the driver says of itself, for `make status`."""
        name = f"bronze-{self.namespace}.json" if self.namespace else "bronze.json"
        return lakehouse_home() / "status" / name

    @property
    def _folder(self) -> str:
        return f"{self.namespace}/" if self.namespace else ""

    def _topic(self, name: str) -> str:
        return f"{self.namespace}.{name}" if self.namespace else name


def spark_path(key: str) -> str:
    """Return the path by which Spark knows an S3 key of the lake's bucket."""
    return f"s3a://{settings().s3_bucket}/{key}"
