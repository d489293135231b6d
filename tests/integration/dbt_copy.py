"""A copy of the lake's schemas for one test module: a prefix of its own, Bronze from plain records, dbt on top."""

import hashlib
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from clients import delta, trino
from contracts.topics import DECISIONS, LABELS, TRANSACTIONS
from lake import catalog, reading, tables
from settings import PROJECT_DIR
from tests.integration.bronze_rows import Bronze, Record

DBT = PROJECT_DIR / "dbt_project"
START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE_US = 60_000_000
DAY_US = 1440 * MINUTE_US
START_US = int(START.timestamp()) * 1_000_000
ACTIONS = ("approve", "review", "step_up", "block")
DECIDERS = ("model", "rule", "fallback", "control")
CARD_STATUSES = ("fresh", "new", "stale")
MCCS = ("5411", "5812", "7995", "6011", None)


class Copy:
    """The prefixed schemas, the three Bronze tables, and dbt run against them."""

    def __init__(self, name: str, folder: Path, project: Path = DBT) -> None:
        """Set apart schemas named `name` and a mark of this run: a second run finds nothing of the first."""
        self.project = project
        os.environ["DBT_SCHEMA_PREFIX"] = self.prefix = f"{name}_{secrets.token_hex(3)}_"
        self.folder = folder
        self.transactions = Bronze(tables.BRONZE_TRANSACTIONS, "transaction", TRANSACTIONS.name, 4)
        self.labels = Bronze(tables.BRONZE_LABELS, "label", LABELS.name, 2)
        self.decisions = Bronze(tables.BRONZE_DECISIONS, "decision", DECISIONS.name, 4)

    def arrive(self, payments: list[Record], labels: list[Record], decisions: Sequence[Record] = ()) -> None:
        """Append one batch to each Bronze table that has rows; that of decisions is there from the first, empty."""
        if payments:
            self.transactions.append(payments)
        if labels:
            self.labels.append(labels)
        if decisions or not self.decisions.batch:
            self.decisions.append(decisions)

    def overwrite(self, table: tables.Table, rows: pa.Table) -> None:
        """Put other rows, of other columns, in the place of a Bronze table's."""
        options = delta.options("spark")
        write_deltalake(table.path, rows, mode="overwrite", schema_mode="overwrite", storage_options=options)

    def dbt(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run dbt as an analyst would; its own target folder keeps the checkout's untouched."""
        done = subprocess.run(
            [Path(sys.executable).with_name("dbt"), "--no-use-colors", *arguments],
            cwd=self.project,
            env=os.environ | self.variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done

    def variables(self) -> dict[str, str]:
        """Return what dbt reads from the environment."""
        return trino.variables() | {
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
            "DBT_PROFILES_DIR": str(self.project),
            "DBT_PROJECT_DIR": str(self.project),
            "DBT_SCHEMA_PREFIX": self.prefix,
        }

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Let dbt run in this process while the body does."""
        before = dict(os.environ)
        os.environ.update(self.variables())
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def results(self) -> dict[str, str]:
        """Return the outcome of the last dbt command: test or model name to its status."""
        found = json.loads((self.folder / "target" / "run_results.json").read_text())
        return {result["unique_id"].split(".")[2]: result["status"] for result in found["results"]}

    def rows(self, table: tables.Table) -> list[dict[str, Any]]:
        """Return all rows of a table, straight from Delta."""
        return reading.read(table).to_pylist()

    def versions(self) -> dict[str, int]:
        """Return the Delta version of each table that dbt writes."""
        written = (
            tables.TRANSACTIONS,
            tables.TRANSACTION_REPEATS,
            tables.TRANSACTION_CONFLICTS,
            tables.CARDS,
            tables.LABEL_EVENTS,
            tables.DECISIONS,
            *tables.GOLD,
        )
        return {str(table): reading.open_table(table).version() for table in written}

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run one statement with {silver}, {gold} and {bronze} filled in."""
        names = {schema: f"delta.{tables.schema_name(schema)}" for schema in tables.SCHEMAS}
        return trino.query(text.format(**names))

    def register(self) -> None:
        """Register what is in the bucket."""
        catalog.register()

    def forget(self) -> None:
        """Take every table and view out of the catalog, as a lost metastore would; the data stays."""
        kinds = trino.query("select table_schema, table_name, table_type from delta.information_schema.tables")
        for schema, name, kind in kinds:
            if schema.startswith(self.prefix) and kind == "VIEW":
                trino.query(f"drop view delta.{schema}.{name}")
            elif schema.startswith(self.prefix):
                trino.query(f"call delta.system.unregister_table('{schema}', '{name}')", admin=True)
        for schema in tables.SCHEMAS:
            trino.query(f"drop schema if exists delta.{tables.schema_name(schema)}", admin=True)

    def drop(self) -> None:
        """Forget the copy and leave nothing of it in the catalog."""
        self.forget()
        os.environ.pop("DBT_SCHEMA_PREFIX", None)
        shutil.rmtree(self.folder, ignore_errors=True)


def payments(count: int, days: int, seed: int, cards: int = 20, merchants: int = 10, name: str = "p") -> list[Record]:
    """Return `count` random payments over `days` days, with every kind of gap that the profiles must bear."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        merchant = draw.randrange(merchants)
        # Cards come late, go dormant and return.
        card = draw.randrange(cards)
        day = draw.randrange(days) if card % 3 else draw.choice([*range(card, card + 5), *range(60, 75)]) % days
        billed = draw.random() < 0.1
        found.append(
            {
                "source": "bank" if draw.random() < 0.9 else "other",
                "transaction_id": f"{name}{number}",
                "event_time": START_US + day * DAY_US + draw.randrange(DAY_US // 1000) * 1000,
                "utc_offset_min": draw.choice([None, 0, 60, -300]),
                "message_type": draw.choices(["authorization", "refund", "verification", "advice"], [90, 4, 4, 2])[0],
                "card_id": hashlib.sha256(f"card {card}".encode()).hexdigest(),
                "amount_minor": draw.choice([0, draw.randrange(100, 20_000), 1999]),
                "currency": draw.choice(["USD", "USD", "EUR", "JPY", "SEK"]),
                "billing_amount_minor": draw.randrange(100, 9_000) if billed else None,
                "billing_currency": "USD" if billed else None,
                "merchant_id": None if draw.random() < 0.05 else f"m{merchant}",
                "terminal_id": draw.choice([None, f"t{merchant}"]),
                "mcc": MCCS[merchant % 5] if draw.random() < 0.95 else "5999",
                "merchant_country": "US",
                "card_country": "US",
                "entry_mode": draw.choice(["chip", "ecommerce", None]),
            }
        )
    return found


def labels(known: list[Record], share: float, seed: int) -> list[Record]:
    """Return label events for a share of the payments, some of them revised later, some at the same moment."""
    draw = random.Random(seed)
    found = []
    for payment in known:
        if draw.random() >= share:
            continue
        moment = payment["event_time"] + draw.randrange(25 * DAY_US)
        first = {
            "source": payment["source"],
            "transaction_id": payment["transaction_id"],
            "verdict": "fraud",
            "known_at": moment,
            "origin": "file",
            "by": None,
            "note": None,
        }
        found.append(first)
        if draw.random() < 0.3:
            found.append(
                first
                | {
                    "verdict": "genuine",
                    "origin": "analyst",
                    "known_at": moment + draw.choice([0, draw.randrange(10 * DAY_US)]),
                }
            )
    return found


def decisions(known: list[Record], places: list[tuple[int, int]], share: float, seed: int) -> list[Record]:
    """Return decisions on a share of the payments that stand (or will) at `places`, some made twice, differently."""
    draw = random.Random(seed)
    found = []
    for payment, (partition, offset) in zip(known, places, strict=True):
        if draw.random() >= share:
            continue
        status = draw.choices(CARD_STATUSES, [80, 10, 10])[0]
        days = draw.choice([1.0, 29.0, 30.0, 179.0, 180.0, 400.0]) if status == "fresh" else None
        made = {
            **{name: payment[name] for name in ("source", "transaction_id", "card_id", "event_time")},
            "payment_partition": partition,
            "payment_offset": offset,
            "decided_at": payment["event_time"] + 5_000,
            "decided_by": draw.choices(DECIDERS, [70, 15, 10, 5])[0],
            "score": draw.random(),
            "threshold": 0.5,
            "degraded": '{"card":"stale"}' if status == "stale" else None,
            "groups": json.dumps({"card": {"status": status}}),
            "reasons": "[]",
            "vector": b"",
            "features": json.dumps({"amount": 1.0, "card_days_since_first_seen": days}),
            "schema_hash": "test",
            "scores": "[]",
            "stages_us": "{}",
            "runtime": "test",
            "payment": b"",
        }
        times = 2 if draw.random() < 0.05 else 1
        found += [made | {"decision": action} for action in draw.choices(ACTIONS, [60, 20, 10, 10], k=times)]
    return found


def hours_ago(hours: int) -> datetime:
    """Return a moment before now."""
    return datetime.now(UTC) - timedelta(hours=hours)
