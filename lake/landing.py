"""Lands in Silver what is known elsewhere: dead letters from Kafka, training runs from MLflow; each once.

dbt makes the tables (models/staging/landed); a row is added by one INSERT of Trino, which alone writes Silver.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from clients import kafka, mlflow, trino
from contracts.deadletter import Context
from contracts.topics import DEAD_LETTERS as LETTERS_TOPIC
from errors import ServerError
from lake.tables import DEAD_LETTERS, TRAINING_RUNS, TRAINING_WEEKS, Table

AT_ONCE = 1_000
"""Rows in a statement: Trino refuses one of more than a million characters."""
EVALUATION = "evaluation.json"
MODEL = "lightgbm"
"""What an evaluation calls the model itself, beside its baselines."""
Columns = dict[str, str]
Row = dict[str, Any]
LETTER: Columns = {
    "letter_partition": "integer",
    "letter_offset": "bigint",
    "letter_time": "timestamp(3) with time zone",
    "letter_day": "date",
    "stage": "varchar",
    "code": "varchar",
    "reason": "varchar",
    "source_topic": "varchar",
    "source_partition": "integer",
    "source_offset": "bigint",
}
RUN: Columns = {
    "run_id": "varchar",
    "model": "varchar",
    "model_version": "varchar",
    "trained_at": "timestamp(3) with time zone",
    "train_from": "date",
    "train_to": "date",
    "test_from": "date",
    "test_to": "date",
    "train_payments": "bigint",
    "test_payments": "bigint",
    "test_frauds": "bigint",
    "threshold": "double",
    "average_precision": "double",
    "best_baseline_average_precision": "double",
    "recall": "double",
    "precision": "double",
    "roc_auc": "double",
}
WEEK: Columns = {
    "run_id": "varchar",
    "model_version": "varchar",
    "week": "date",
    "payments": "bigint",
    "frauds": "bigint",
    "average_precision": "double",
    "recall": "double",
    "precision": "double",
}


def land() -> tuple[dict[str, int], list[str]]:
    """Add what is new; returns rows added by table, and in words what could not be asked (the rest has landed)."""
    added: dict[str, int] = {}
    troubles: list[str] = []
    for what, step in (("dead letters", _letters), ("training runs", _runs)):
        try:
            added |= step()
        except ServerError as error:
            troubles.append(f"{what}: {error}")
    return added, troubles


def letter(partition: int, offset: int, time_ms: int, context: Context) -> Row:
    """Return the row of one dead letter: what its headers say, and where it stands."""
    moment = datetime.fromtimestamp(time_ms / 1e3, UTC)
    return {
        "letter_partition": partition,
        "letter_offset": offset,
        "letter_time": _moment(moment),
        "letter_day": str(moment.date()),
        "stage": context.stage.value,
        "code": context.code,
        "reason": context.reason,
        "source_topic": context.source_topic,
        "source_partition": context.source_partition,
        "source_offset": context.source_offset,
    }


def run(version: mlflow.Version, evaluation: Row) -> tuple[Row, list[Row]]:
    """Return the row of one training run and those of its test's weeks, of which older runs have none."""
    tested = evaluation["sets"][0]
    models = {each["model"]: each for each in tested["models"]}
    own = models.pop(MODEL)
    named = {"run_id": version.run_id, "model_version": str(version.number)}
    baselines = [each["average_precision"] for name, each in models.items() if not name.startswith(MODEL)]
    row = named | {
        "model": version.name,
        "trained_at": _moment(version.created_at or datetime.now(UTC)),
        **{name: evaluation["periods"][name] for name in ("train_from", "train_to", "test_from", "test_to")},
        "train_payments": evaluation["training"]["rows"],
        "test_payments": tested["rows"],
        "test_frauds": tested["frauds"],
        "threshold": evaluation["threshold"],
        "best_baseline_average_precision": max(filter(None, baselines), default=None),
        **{name: own[name] for name in ("average_precision", "recall", "precision", "roc_auc")},
    }
    return row, [named | week for week in evaluation.get("weeks", [])]


def _letters() -> dict[str, int]:
    if not _there(DEAD_LETTERS):
        return {}
    sql = f"SELECT letter_partition, max(letter_offset) + 1 FROM {DEAD_LETTERS.sql_name} GROUP BY 1"  # noqa: S608
    begin = {int(partition): int(offset) for partition, offset in trino.query(sql)}
    end = kafka.ends(LETTERS_TOPIC.name)
    if any(begin.get(partition, 0) > after for partition, after in end.items()):
        raise ServerError(
            f"{DEAD_LETTERS} has letters that {LETTERS_TOPIC.name} no longer knows: it was made anew. "
            f"Delete the rows of {DEAD_LETTERS}, and they are read again"
        )
    return {str(DEAD_LETTERS): _insert(DEAD_LETTERS, LETTER, _read(begin, end))}


def _read(begin: dict[int, int], end: dict[int, int]) -> Iterator[Row]:
    for message in kafka.read_all(LETTERS_TOPIC.name, begin, {p: after for p, after in end.items() if after}):
        context = Context.read(list(message.headers() or []))  # type: ignore[arg-type]  # ours are bytes
        yield letter(*kafka.place(message), message.timestamp()[1], context)


def _runs() -> dict[str, int]:
    if not (_there(TRAINING_RUNS) and _there(TRAINING_WEEKS)):
        return {}
    known = {run_id for (run_id,) in trino.query(f"SELECT run_id FROM {TRAINING_RUNS.sql_name}")}  # noqa: S608
    added = {str(TRAINING_RUNS): 0, str(TRAINING_WEEKS): 0}
    for version in mlflow.versions():
        if version.run_id in known:
            continue
        row, weeks = run(version, json.loads(mlflow.download_beside(version, EVALUATION)))
        # The weeks first: a run that is known has all of its own.
        trino.query(f"DELETE FROM {TRAINING_WEEKS.sql_name} WHERE run_id = {trino.literal(version.run_id)}")  # noqa: S608
        added[str(TRAINING_WEEKS)] += _insert(TRAINING_WEEKS, WEEK, weeks)
        added[str(TRAINING_RUNS)] += _insert(TRAINING_RUNS, RUN, [row])
    return added


def _there(table: Table) -> bool:
    sql = "SELECT 1 FROM delta.information_schema.tables WHERE table_schema = ? AND table_name = ?"
    schema, _, name = table.sql_name.partition(".")
    return bool(trino.query(sql, [schema, name]))


def _insert(table: Table, columns: Columns, rows: Iterable[Row]) -> int:
    added = 0
    fields = ", ".join(f"{name} varchar" for name in columns)
    values = ", ".join(f"CAST({name} AS {kind})" for name, kind in columns.items())
    waiting = iter(rows)
    while some := list(islice(waiting, AT_ONCE)):
        texts = [[None if row.get(name) is None else str(row[name]) for name in columns] for row in some]
        trino.query(
            f"INSERT INTO {table.sql_name} ({', '.join(columns)}) SELECT {values} FROM "  # noqa: S608 - our own names
            f"UNNEST(CAST(JSON_PARSE({trino.literal(json.dumps(texts, ensure_ascii=False))}) AS ARRAY(ROW({fields}))))"
        )
        added += len(some)
    return added


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC"
