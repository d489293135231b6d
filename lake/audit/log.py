"""A table's Delta log: which version stood at a time, which versions can still be read, who wrote each."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clients import s3, trino
from errors import InputError, ServerError
from lake import reading
from lake.audit.times import shown
from lake.tables import Table, root

COMMIT = re.compile(r"/(\d{20})\.json$")
RUNS = Table("ops", "dbt_runs")


@dataclass(frozen=True)
class Version:
    """One commit: its number and time, what it did, and who says to have done it."""

    number: int
    at: datetime
    operation: str
    user: str | None = None
    query_id: str | None = None
    batch: int | None = None
    rows: int | None = None

    def __str__(self) -> str:
        return f"version {self.number} ({shown(self.at)})"


@dataclass(frozen=True)
class Run:
    """The dbt run that wrote a version, as ops.dbt_runs has it."""

    invocation_id: str
    model: str
    started_at: datetime
    rows: int | None
    git_commit: str | None

    def __str__(self) -> str:
        return f"dbt run {self.invocation_id}, model {self.model} from {shown(self.started_at)} on"


def newest(table: Table) -> Version:
    """Return the newest version; InputError when the table is not there."""
    return read(table, reading.open_table(table).version())


def oldest(table: Table) -> Version:
    """Return the oldest version that the log still has."""
    found = next((COMMIT.search(key) for key in s3.keys(_log(table)) if COMMIT.search(key)), None)
    if found is None:
        raise InputError(f"{table} has no Delta log at {table.path}")
    return read(table, int(found[1]))


def at(table: Table, time: datetime) -> Version:
    """Return the version that stood at `time`, by the times that the commits say of themselves, as Trino has it.

    Looked for by halves: Bronze has a commit a second. InputError when the table was made, or its log begins, later.
    """
    low, high = oldest(table), newest(table)
    if time < low.at:
        reason = "the log before it was removed after 30 days" if low.number else "the table was made then"
        raise InputError(
            f"{table} at {shown(time)}: its oldest version is {low.number}, of {shown(low.at)}; {reason}. "
            "Ask for a later time; what was known then stands in its time columns"
        )
    if time >= high.at:
        return high
    while high.number - low.number > 1:
        middle = read(table, (low.number + high.number) // 2)
        low, high = (middle, high) if middle.at <= time else (low, middle)
    return low


def read(table: Table, number: int) -> Version:
    """Return one version from its commit file; InputError when the log does not have it."""
    found = s3.read(f"{_log(table)}{number:020}.json")
    if found is None:
        raise InputError(f"{table} has no version {number}: the log has {oldest(table)} to {newest(table)}")
    infos = (json.loads(line).get("commitInfo") for line in found.body.splitlines() if b'"commitInfo"' in line)
    info: dict[str, Any] = next((each for each in infos if each), {})
    mark = json.loads(info.get("userMetadata") or "{}")
    rows = info.get("operationMetrics", {}).get("numOutputRows")
    return Version(
        number,
        datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC),
        info.get("operation", "unknown"),
        info.get("userName"),
        info.get("operationParameters", {}).get("queryId"),
        mark.get("batch"),
        int(rows) if rows is not None else None,
    )


def between(table: Table, first: int, last: int) -> Iterator[Version]:
    """Yield the versions from `first` to `last`, both included."""
    return (read(table, number) for number in range(first, last + 1))


def runs(versions: Sequence[Version]) -> dict[str, Run]:
    """Return by query id the dbt runs that wrote these versions; a run that was killed recorded none."""
    ids = [version.query_id for version in versions if version.query_id]
    if not ids or not reading.exists(RUNS):
        return {}
    rows = trino.query(
        "select query_id, invocation_id, model, started_at, affected_rows, git_commit"  # noqa: S608 - our own names
        f" from {trino.CATALOG}.{RUNS.sql_name} where query_id in ({', '.join('?' * len(ids))})",
        ids,
    )
    return {query: Run(*rest) for query, *rest in rows}


def oldest_readable(table: Table) -> Version:
    """Return the oldest version all of whose data files are still there: a vacuum leaves the log and takes files."""
    there = {f"{root()}/{key}" for key in s3.keys(table.path.removeprefix(f"{root()}/") + "/")}
    low, high = oldest(table).number, newest(table).number
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _has_files(table, middle, there) else (middle + 1, high)
    return read(table, high)


def _has_files(table: Table, number: int, there: set[str]) -> bool:
    try:
        return set(reading.open_table(table, number).file_uris()) <= there
    except ServerError:
        # The checkpoint that this version needs is gone with the log before it.
        return False


def _log(table: Table) -> str:
    return table.path.removeprefix(f"{root()}/") + "/_delta_log/"
