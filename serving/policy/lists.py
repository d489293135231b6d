"""Entries of the lists: one put on or taken off, or many from a CSV file that is checked before anything is changed."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from epoch import from_us, to_us
from errors import InputError
from scoring.rules import By, Entry, ListName
from scoring.rules.lists import Body, Place
from serving.policy.replica import Replica, Row, shown

Put = tuple[Place, Body]
COLUMNS = ("list", "by", "value", "reason", "until")
SHOWN = (*COLUMNS, "author", "at")
MOST_ERRORS = 20


def place(name: str, by: str, value: str) -> Place:
    """Return whom words name."""
    return Place(ListName(name), By(by), value)


def add(where: Place, reason: str, until: str, author: str, now_us: int) -> Put:
    """Return an entry to put on a list; InputError if it is none, or over already."""
    try:
        return _entry({**where._asdict(), "reason": reason, "until": until}, author, now_us)
    except ValueError as error:
        raise InputError(f"the entry: {_why(error)}") from None


def remove(where: Place, replica: Replica, author: str, now_us: int) -> Put:
    """Return what takes an entry off a list; InputError if it is not on it."""
    if next(replica.entries(now_us, where), None) is None:
        raise InputError(f"there is no {where.by} with that value on the {where.list} list")
    return where, Body(0, "", author, now_us)


def read(file: Path, author: str, now_us: int) -> list[Put]:
    """Return the entries of a CSV file with the columns COLUMNS; InputError names every bad line, up to twenty."""
    found: dict[Place, Body] = {}
    wrong: list[str] = []
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.DictReader(lines, strict=True)
            if lacking := set(COLUMNS) - set(rows.fieldnames or ()):
                raise InputError(f"{file}: the first line names no {', '.join(sorted(lacking))}")
            for row in rows:
                try:
                    where, body = _entry({name: row[name] or "" for name in COLUMNS}, author, now_us)
                except ValueError as error:
                    wrong.append(f"line {rows.line_num}: {_why(error)}")
                else:
                    if where in found:
                        wrong.append(f"line {rows.line_num}: that {where.by} is there twice for the {where.list} list")
                    found[where] = body
                if len(wrong) == MOST_ERRORS:
                    break
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if wrong:
        raise InputError(f"{file}: nothing was changed; " + "; ".join(wrong))
    return list(found.items())


def table(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    """Yield entries as lines of a CSV file that `read` takes again, its head first."""
    yield SHOWN
    for where, body in map(shown, rows):
        yield (*where, body.reason, iso(body.until_us), body.author, iso(body.at_us))


def _entry(plain: dict[str, str], author: str, now_us: int) -> Put:
    made = Entry.model_validate({**plain, "author": author})
    until_us = to_us(made.until)
    if until_us <= now_us:
        raise ValueError(f"the entry would be over already, at {made.until.isoformat()}")
    return Place(made.list, made.by, made.value), Body(until_us, made.reason, author, now_us)


def _why(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{' '.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")


def iso(time_us: int) -> str:
    """Return a moment (UTC us) as people read it."""
    return from_us(time_us).isoformat()
