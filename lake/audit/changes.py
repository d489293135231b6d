"""What changed in a table between two of its versions, row by row: by its change data feed, else by comparing both."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clients import trino
from errors import ServerError
from lake.audit import rows
from lake.audit.log import Version
from lake.audit.rows import Row
from lake.audit.subjects import Condition, Subject
from lake.tables import schema_name

FEED = ("_change_type", "_commit_version", "_commit_timestamp")
NO_FEED = "Change Data Feed is not enabled"


@dataclass(frozen=True)
class Change:
    """One row's change: insert (no `before`), delete (no `after`) or update; `version` is None when compared."""

    version: int | None
    at: datetime | None
    before: Row | None
    after: Row | None

    @property
    def kind(self) -> str:
        """Return insert, update or delete."""
        if self.before is None:
            return "insert"
        return "update" if self.after is not None else "delete"

    def differences(self) -> dict[str, tuple[Any, Any]]:
        """Return, of an update, the columns that differ: name to (before, after)."""
        if self.before is None or self.after is None:
            return {}
        names = dict.fromkeys([*self.before, *self.after])
        pairs = {name: (self.before.get(name), self.after.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if not same(*pair)}


def same(one: Any, other: Any) -> bool:
    """Say whether two values are one; NaN is NaN."""
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN differs from itself


def between(subject: Subject, first: Version, last: Version, condition: Condition) -> tuple[list[Change], bool]:
    """Return the changes of rows that meet `condition` after `first` up to `last`, and whether the feed told them.

    The feed tells every step. Where it was off (before it was first switched on, across a full refresh) the two
    versions are compared: what happened in between and was undone is not seen.
    """
    if first.number >= last.number:
        return [], True
    try:
        return _fed(subject, first, last, condition), True
    except ServerError as error:
        if NO_FEED not in str(error):
            raise
    return _compared(subject, first, last, condition), False


def _fed(subject: Subject, first: Version, last: Version, condition: Condition) -> list[Change]:
    table = subject.table
    sql = (
        f"select * from table({trino.CATALOG}.system.table_changes(schema_name => "  # noqa: S608 - our own names
        f"{trino.literal(schema_name(table.schema))}, table_name => {trino.literal(table.name)}, "
        f"since_version => {first.number})) where _commit_version <= {last.number} and {condition.sql} "
        f"order by _commit_version, {', '.join(map(trino.identifier, subject.key))}"
    )
    found = rows.ask(subject, first, sql, condition.parameters)
    steps: dict[int, list[Row]] = defaultdict(list)
    for row in found:
        steps[row["_commit_version"]].append(row)
    changes: list[Change] = []
    for number, step in steps.items():
        removed = [_plain(row) for row in step if row["_change_type"] in {"delete", "update_preimage"}]
        added = [_plain(row) for row in step if row["_change_type"] in {"insert", "update_postimage"}]
        changes += paired(subject, removed, added, number, step[0]["_commit_timestamp"])
    return changes


def _compared(subject: Subject, first: Version, last: Version, condition: Condition) -> list[Change]:
    def only_in(one: Version, other: Version) -> list[Row]:
        parts = (f"select * from {rows.source(subject, each)} where {condition.sql}" for each in (one, other))  # noqa: S608
        return rows.ask(subject, first, " except ".join(parts), condition.parameters * 2)

    return paired(subject, only_in(first, last), only_in(last, first), None, None)


def paired(
    subject: Subject, removed: list[Row], added: list[Row], version: int | None, at: datetime | None
) -> list[Change]:
    """Return rows that left and rows that came as changes, those of one key as an update; sorted by key."""
    before = {_key(subject, row): row for row in removed}
    after = {_key(subject, row): row for row in added}
    keys = sorted(before.keys() | after.keys(), key=str)
    return [Change(version, at, before.get(key), after.get(key)) for key in keys]


def _key(subject: Subject, row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in subject.key)


def _plain(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in FEED}
