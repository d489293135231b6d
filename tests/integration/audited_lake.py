"""A lake with a known history: four payments, one that waits in Bronze, a late one, a late label, a correction."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clients import trino
from lake import upkeep
from lake.audit.times import shown
from lake.tables import SCHEMAS, schema_name
from settings import PROJECT_DIR
from tests.integration.bronze_rows import Record
from tests.integration.dbt_copy import Copy

DOCUMENT = PROJECT_DIR / "docs" / "audit.md"
MOMENT = "2026-11-22 14:30:00 UTC"
"""The moment that the document asks about: here, the one between the first run and the second."""
RECIPE = re.compile(r"```sql\n(.*?)```\n((?:\|[^\n]*\n)+)", re.DOTALL)
MODELS = ("+card_features_daily", "label_events")


def payment(name: str, card: str, at: datetime, dollars: int) -> Record:
    """Return a payment at merchant m1."""
    return {
        "source": "bank",
        "transaction_id": name,
        "event_time": round(at.timestamp() * 1_000_000),
        "card_id": card,
        "amount_minor": dollars * 100,
        "currency": "USD",
        "merchant_id": "m1",
        "message_type": "authorization",
    }


def verdict(of: str, at: datetime, origin: str, says: str) -> Record:
    """Return a label event."""
    return {
        "source": "bank",
        "transaction_id": of,
        "verdict": says,
        "known_at": round(at.timestamp() * 1_000_000),
        "origin": origin,
        "by": None,
        "note": None,
    }


def march(day: int, hour: int) -> datetime:
    """Return an hour of March 2024."""
    return datetime(2024, 3, day, hour, tzinfo=UTC)


class AuditedLake:
    """The history of docs/audit.md, made on the real Trino; `moment` lies where the document has 14:30."""

    def __init__(self, folder: Path) -> None:
        """Make it: two runs of dbt, and a third that finds one label."""
        self.copy = Copy("audit", folder)
        self.invocations: list[str] = []
        first = [
            payment("p1", "card-a", march(1, 10), 20),
            payment("p2", "card-a", march(2, 11), 30),
            payment("p3", "card-a", march(4, 12), 50),
            payment("p4", "card-b", march(5, 9), 10),
        ]
        self.copy.transactions.append(first)
        self.copy.labels.append([])
        self.copy.decisions.append([])
        self.copy.register()
        self._dbt("build", "--select", *MODELS, "--exclude-resource-type", "test", "unit_test")
        self.kept = list(upkeep.keep())
        self.copy.transactions.append([payment("p6", "card-a", march(5, 8), 5)])
        now = datetime.now(UTC)
        # Trino's moments are whole milliseconds: to store p6 took longer than one, and p5 comes a whole one later.
        self.moment = now.replace(microsecond=now.microsecond // 1000 * 1000)
        later = self.moment + timedelta(milliseconds=1)
        self.copy.transactions.append([payment("p5", "card-a", march(3, 13), 70)], later)
        self.copy.labels.append([verdict("p2", march(20, 9), "issuer_report", "fraud")], later)
        self._dbt("run", "--select", *MODELS)
        self.copy.labels.append([verdict("p2", march(21, 9), "analyst", "genuine")])
        self._dbt("run", "--select", "label_events")

    @property
    def shown_moment(self) -> str:
        """Return the moment as a command line takes it."""
        return self.moment.isoformat()

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run a statement of the document on this lake: other schemas, another moment, nothing else."""
        for schema in SCHEMAS:
            text = text.replace(f"delta.{schema}.", f"delta.{schema_name(schema)}.")
            text = text.replace(f"schema_name => '{schema}'", f"schema_name => '{schema_name(schema)}'")
        return trino.query(text.replace(MOMENT, shown(self.moment)).strip().rstrip(";"))

    def _dbt(self, *arguments: str) -> None:
        self.copy.dbt(*arguments)
        results = json.loads((self.copy.folder / "target" / "run_results.json").read_text())
        self.invocations.append(results["metadata"]["invocation_id"])


def recipes() -> list[tuple[str, list[list[str]]]]:
    """Return each statement of the document with the cells of the answer below it, header first."""
    found = []
    for sql, table in RECIPE.findall(DOCUMENT.read_text()):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
        found.append((sql, [lines[0], *lines[2:]]))
    return found


def cell(value: Any) -> str:
    """Return a value as the document shows it."""
    return "NULL" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
