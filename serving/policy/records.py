"""What stands on the topic `policy`: versions of the rules, who put which in force, and entries of lists.

A record is known by its key, and the newest of each key stays for ever: `rules:SHA-256`, the file of a version as it
was written; `change:TIME`, what was done with a version, by whom; `entry:LIST:BY:VALUE`, an entry, or that it was taken
off. Entries are taken off by a record, not by a tombstone, which a host that was away for longer than Kafka keeps
tombstones would never see.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson

from errors import InputError
from scoring.rules import By, ListName
from scoring.rules.lists import Body, Place

RULES, CHANGE, ENTRY = "rules", "change", "entry"


class Action(StrEnum):
    """What is done with a version: put in force at once, proposed, approved by a second person, gone back to."""

    PUBLISH = "publish"
    PROPOSE = "propose"
    APPROVE = "approve"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Change:
    """One thing done with a version of the rules; of the others but proposals the newest says which is in force."""

    at_us: int
    action: Action
    version: str
    author: str


@dataclass(frozen=True)
class Text:
    """A version of the rules as people wrote it."""

    version: str
    text: str


Record = Change | Text | tuple[Place, Body]


def entries(records: Iterable[Record]) -> Iterator[tuple[Place, Body]]:
    """Yield the entries of lists among records."""
    for each in records:
        if isinstance(each, tuple):
            yield each


def encode(record: Record) -> tuple[bytes, bytes]:
    """Return a record's key and value on the topic."""
    match record:
        case Change():
            return f"{CHANGE}:{record.at_us:020d}".encode(), orjson.dumps(asdict(record))
        case Text():
            return f"{RULES}:{record.version}".encode(), record.text.encode()
    place, body = record
    return ":".join((ENTRY, *place)).encode(), body.text().encode()


def decode(key: bytes, value: bytes) -> Record:
    """Return the record of a key and its value; InputError if this program knows no such one."""
    try:
        kind, _, rest = key.decode().partition(":")
        if kind == CHANGE:
            plain = orjson.loads(value)
            return Change(int(plain["at_us"]), Action(plain["action"]), str(plain["version"]), str(plain["author"]))
        if kind == RULES:
            return Text(rest, value.decode())
        if kind == ENTRY:
            name, by, named = rest.split(":", 2)
            return Place(ListName(name), By(by), named), Body.restore(value)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"policy: a record {key[:80]!r} cannot be read: {error!r}") from error
    raise InputError(f"policy: a record {key[:80]!r} is of no known kind")
