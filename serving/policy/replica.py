"""This process's copy of the topic `policy` on its disk, so that it starts and decides while Kafka is away."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from errors import InputError
from scoring.rules import By, ListName, RuleSet
from scoring.rules.lists import Body, Place
from serving.policy.records import Action, Change, Record, Text, entries

TABLES = """
    create table if not exists facts (name text primary key, value) without rowid;
    create table if not exists rules (version text primary key, content text) without rowid;
    create table if not exists changes (at_us integer primary key, action text, version text, author text);
    create table if not exists entries (list text, by text, value text, body text, until_us integer,
        primary key (by, value, list)) without rowid;
"""
POSITION, TOPIC, COMPLETE, GOOD = "position", "topic", "complete", "good"
Row = tuple[str, str, str, str]
"""List, by, value and the text of a Body."""


class Replica:
    """The copy. One thread uses it at a time; every change is whole, also through a kill."""

    def __init__(self, file: Path) -> None:
        """Open it, or make it anew if there is none or it is broken; InputError if the disk does not take it."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # it is no database any more; Kafka has all of it
                file.unlink()
                self._open(file)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"the copy of the policy, {file}, cannot be opened: {error}") from error

    def _open(self, file: Path) -> None:
        self._db = sqlite3.connect(file, timeout=10, check_same_thread=False, isolation_level=None)
        # A power cut may cost the last transactions, which Kafka has; a kill costs nothing.
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal; pragma cache_size = -65536;")
        self._db.executescript(TABLES)

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def fact(self, name: str) -> str | None:
        """Return a fact (TOPIC, POSITION, COMPLETE, GOOD) as text; None if it is not known."""
        found = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def remember(self, name: str, value: object) -> None:
        """Set a fact."""
        self._db.execute("insert or replace into facts values (?, ?)", (name, str(value)))

    @property
    def position(self) -> int:
        """Offset of the next record to take."""
        return int(self.fact(POSITION) or 0)

    def follow(self, topic_id: str) -> int:
        """Return where to go on in this topic; from its beginning, on top of what is here, if it is another one."""
        if self.fact(TOPIC) != topic_id:
            with self._transaction():
                self.remember(TOPIC, topic_id)
                self.remember(POSITION, 0)
        return self.position

    def apply(self, records: Sequence[Record], position: int) -> None:
        """Take records in their order; `position`: the offset after them."""
        rows = [(*place, body.text(), body.until_us) for place, body in entries(records)]
        with self._transaction():
            if position <= self.position:
                return  # another process with this copy was here before
            for each in records:
                if isinstance(each, Change):
                    row = (each.at_us, each.action, each.version, each.author)
                    self._db.execute("insert or replace into changes values (?, ?, ?, ?)", row)
                elif isinstance(each, Text):
                    self._db.execute("insert or replace into rules values (?, ?)", (each.version, each.text))
            self._db.executemany("insert or replace into entries values (?, ?, ?, ?, ?)", rows)
            self.remember(POSITION, position)

    def changes(self) -> list[Change]:
        """Return everything that was done with versions, oldest first."""
        rows = self._db.execute("select at_us, action, version, author from changes order by at_us")
        return [Change(at_us, Action(action), version, author) for at_us, action, version, author in rows]

    def in_force(self) -> Change | None:
        """Return what put the newest version in force; None if there never was one."""
        return next((each for each in reversed(self.changes()) if each.action is not Action.PROPOSE), None)

    def text(self, version: str) -> str:
        """Return a version as it was written; InputError if it is not known."""
        found = self._db.execute("select content from rules where version = ?", (version,)).fetchone()
        if found is None:
            raise InputError(f"there is no version {version} of the rules; `python -m serving rules history` has all")
        return str(found[0])

    def rules(self, version: str) -> RuleSet:
        """Return a version, compiled; InputError if it is not known, or this program cannot use it."""
        found = RuleSet.read(self.text(version))
        if found.version != version:
            raise InputError(f"the rules of version {version} are of version {found.version}: they were changed")
        return found

    def entries(self, now_us: int, place: Place | None = None) -> Iterator[Row]:
        """Return the entries in force at `now_us`, all or the one at a place."""
        where = "until_us > ?" + (" and list = ? and by = ? and value = ?" if place else "")
        sql = f"select list, by, value, body from entries where {where}"  # noqa: S608 - our own words
        return self._db.execute(sql, (now_us, *(place or ())))

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)


class _Transaction:
    """A transaction for writing: whole, or nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("rollback" if kind else "commit")


def shown(row: Row) -> tuple[Place, Body]:
    """Return a row as what it says."""
    name, by, value, text = row
    return Place(ListName(name), By(by), value), Body.restore(text)
