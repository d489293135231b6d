"""Entries of the lists: added, removed and shown in `lists.yaml` beside the rules, always whole and checked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from errors import InputError
from scoring.rules.contents import By, Entry, ListName, parse
from serving.policy.in_force import Files, replace

HEAD = "# Kept by `python -m serving lists`; comments are lost at the next change.\n"


@dataclass(frozen=True)
class Place:
    """Whom an entry names, on which list."""

    list: ListName
    by: By
    value: str


def place(name: str, by: str, value: str) -> Place:
    """Return whom words name."""
    return Place(ListName(name), By(by), value)


def shown(files: Files) -> tuple[Entry, ...]:
    """Return the entries in the file, also those that are over."""
    return parse("rules: []", _text(files.lists)).lists


def add(files: Files, where: Place, reason: str, until: str) -> None:
    """Put an entry on a list, in place of an older one for the same; InputError if it is none, or over already."""
    entry = {"list": where.list.value, "by": where.by.value, "value": where.value, "reason": reason, "until": until}
    made = parse("rules: []", yaml.safe_dump({"lists": [entry]})).lists[0]
    if made.until <= datetime.now(UTC):
        raise InputError(f"the entry would be over already, at {made.until.isoformat()}")
    _write(files, [*_others(files, where), made])


def remove(files: Files, where: Place) -> None:
    """Take an entry off a list; InputError if it is not on it."""
    others = _others(files, where)
    if len(others) == len(shown(files)):
        raise InputError(f"there is no {where.by} with that value on the {where.list} list")
    _write(files, others)


def _others(files: Files, where: Place) -> list[Entry]:
    return [each for each in shown(files) if Place(each.list, each.by, each.value) != where]


def _write(files: Files, entries: list[Entry]) -> None:
    now = datetime.now(UTC)
    plain: list[dict[str, Any]] = [entry.model_dump(mode="json") for entry in entries if entry.until > now]
    try:
        files.lists.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump({"lists": plain}, sort_keys=False, allow_unicode=True, explicit_end=True)
        replace(files.lists, (HEAD + text).encode())
    except OSError as error:
        raise InputError(f"{files.lists} cannot be written: {error}") from error


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
