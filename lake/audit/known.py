"""What was known at a time by the columns of now, beside what was stored then, and why the two differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from clients import trino
from errors import InputError
from lake.audit import changes, log, rows
from lake.audit.causes import Cause, Facts, cause, is_known, sentence
from lake.audit.changes import Change
from lake.audit.log import Run, Version
from lake.audit.rows import Row
from lake.audit.subjects import CLOCKS, Condition, Subject, about, find
from lake.audit.times import shown
from lake.tables import CARD_FEATURES, DECISIONS, LABEL_EVENTS, TRANSACTIONS, Table

FOR_A_CARD = (TRANSACTIONS, LABEL_EVENTS, DECISIONS, CARD_FEATURES)
STRICTLY = (str(LABEL_EVENTS),)
"""A label counts only for times after the one at which it became known."""
PROFILE_DAYS = 30
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Maker:
    """The first version after the time that touched a row, and the dbt run that wrote it."""

    version: int | None
    at: datetime | None
    run: Run | None

    def __str__(self) -> str:
        who = f", {self.run}" if self.run else ""
        when = f" of {shown(self.at)}" if self.at else ""
        return f"version {self.version}{when}{who}"


@dataclass(frozen=True)
class Difference:
    """One row that was known and not stored, or the other way round, or stored with other values; and why."""

    key: Row
    known: bool
    stored: bool
    cause: Cause
    why: str
    values: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """One table: rows known at the time, rows in the version of then, rows that are both and equal, the others."""

    table: Table
    version: Version
    known: int
    stored: int
    agree: int
    differences: list[Difference]


def compare(name: str, at: datetime, card: str | None, where: Sequence[str] = ()) -> Comparison:
    """Compare what table `name` says now of what was known at `at` with what it said then.

    Raises InputError for a table without clocks, a wrong condition, or a time before the table's first version.
    """
    subject = find(name)
    if str(subject.table) not in CLOCKS:
        raise InputError(f"{name} has no column that says when a row was known; these have: {', '.join(CLOCKS)}")
    condition = about(subject, card, where)
    then, now = log.at(subject.table, at), log.newest(subject.table)
    stored, standing = (_by_key(subject, rows.at(subject, each, condition)) for each in (then, now))
    makers = _makers(subject, then, now, condition) if stored != standing else {}
    found = judge(subject, at, then, stored, standing, makers)
    if str(subject.table) != str(CARD_FEATURES) or card is None or not found.differences:
        return found
    late = _built_since(card, list(stored.values()))
    return Comparison(
        found.table,
        found.version,
        found.known,
        found.stored,
        found.agree,
        [_with_late(each, stored, late, subject) for each in found.differences],
    )


def judge(
    subject: Subject,
    at: datetime,
    then: Version,
    stored: dict[Key, Row],
    standing: dict[Key, Row],
    makers: dict[Key, Maker],
) -> Comparison:
    """Return the comparison of the rows of then (`stored`) with those of now (`standing`), by key."""
    clocks = CLOCKS[str(subject.table)]
    before = str(subject.table) in STRICTLY
    differences: list[Difference] = []
    known = agree = 0
    for key in sorted(stored.keys() | standing.keys(), key=str):
        old, new = stored.get(key), standing.get(key)
        row: Row = new or old or {}
        values = Change(None, None, old, new).differences()
        maker = makers.get(key)
        facts = Facts(
            stored=old is not None,
            standing=new is not None,
            equal=not values,
            known=row.get(clocks.known),
            arrived=row.get(clocks.arrived or ""),
            landed=row.get(clocks.landed or ""),
            built=row.get(clocks.built),
            entered=maker.at if maker else None,
        )
        is_now_known = facts.standing and is_known(facts.known, at, before=before)
        known += is_now_known
        why = cause(facts, at, before=before)
        if why is not Cause.AGREE:
            named = dict(zip(subject.key, key, strict=True))
            words = sentence(why, facts, str(maker) if maker else None)
            differences.append(Difference(named, is_now_known, facts.stored, why, words, values))
        elif facts.stored:
            agree += 1
    return Comparison(subject.table, then, known, len(stored), agree, differences)


def _makers(subject: Subject, then: Version, now: Version, condition: Condition) -> dict[Key, Maker]:
    steps, is_fed = changes.between(subject, then, now, condition)
    if not is_fed:
        return {}
    numbers = sorted({step.version for step in steps if step.version is not None})
    versions = {number: log.read(subject.table, number) for number in numbers}
    runs = log.runs(list(versions.values()))
    found: dict[Key, Maker] = {}
    for step in steps:
        key = tuple((step.after or step.before or {}).get(name) for name in subject.key)
        if step.version is not None and key not in found:
            found[key] = Maker(step.version, step.at, runs.get(versions[step.version].query_id or ""))
    return found


def _built_since(card: str, profiles: list[Row]) -> list[Row]:
    """Return the card's payments that were built after the oldest of these profiles, by which one may have changed."""
    if not profiles:
        return []
    names = ("transaction_id", "event_day", "loaded_at")
    found = trino.query(
        f"select {', '.join(names)} from {trino.CATALOG}.{TRANSACTIONS.sql_name}"  # noqa: S608 - our own names
        " where card_id = ? and loaded_at > ? order by event_time",
        [card, min(row["updated_at"] for row in profiles)],
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def _with_late(found: Difference, stored: dict[Key, Row], late: list[Row], subject: Subject) -> Difference:
    old = stored.get(tuple(found.key[name] for name in subject.key))
    if found.cause is not Cause.REWRITTEN or old is None:
        return found
    day = old["as_of_day"]
    reached = [
        row["transaction_id"]
        for row in late
        if row["loaded_at"] > old["updated_at"] and day - timedelta(days=PROFILE_DAYS) <= row["event_day"] < day
    ]
    if not reached:
        return found
    words = f"{found.why}; payments of its {PROFILE_DAYS} days that were built in between: {', '.join(reached[:10])}"
    return Difference(found.key, found.known, found.stored, found.cause, words, found.values)


def _by_key(subject: Subject, found: list[Row]) -> dict[Key, Row]:
    return {tuple(row.get(name) for name in subject.key): row for row in found}
