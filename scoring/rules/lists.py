"""The lists in memory: a million values, looked up in less than a microsecond.

What is kept of an entry beside its value is one short text, shared by all entries that say the same; it is read when a
payment is found by it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from epoch import from_us
from features import acceptor_id
from scoring.rules.contents import By, Entry, ListName

FIELD = {By.CARD: "card_id", By.ACCOUNT: "account_id", By.DEVICE: "device_id"}
LAST_US = 253_402_300_800_000_000
"""The year 10000, which no date reaches."""
SHARED = 10_000
"""Texts remembered while entries are taken, so that those of one import are one text in memory."""


class Place(NamedTuple):
    """Whom an entry names, on which list."""

    list: ListName
    by: By
    value: str


class Body(NamedTuple):
    """What an entry says: until when (UTC us; 0: it was taken off), why, who put it there, and when (UTC us)."""

    until_us: int
    reason: str
    author: str
    at_us: int

    def text(self) -> str:
        """Return it as JSON text."""
        return orjson.dumps(tuple(self)).decode()

    @classmethod
    def restore(cls, text: str | bytes) -> "Body":
        """Return what `text` made; ValueError or TypeError if it is not one."""
        until_us, reason, author, at_us = orjson.loads(text)
        if not 0 <= until_us < LAST_US:
            raise ValueError(f"until {until_us} is no time")
        return cls(int(until_us), str(reason), str(author), int(at_us))


class Lists:
    """Every entry that is in force, by list and by what it names. One thread changes it while others look up."""

    def __init__(self) -> None:
        """Begin with empty lists."""
        self._all: dict[tuple[ListName, By], dict[str, str]] = {(name, by): {} for name in ListName for by in By}
        self._used: tuple[tuple[ListName, By, dict[str, str]], ...] = ()

    def __len__(self) -> int:
        """Return how many entries there are."""
        return sum(map(len, self._all.values()))

    def put(self, entries: Iterable[tuple[str, str, str, str]]) -> None:
        """Take (list, by, value, text of a Body) each, in place of an older one; what is over at 0 is taken off."""
        shared: dict[str, str] = {}
        for name, by, value, text in entries:
            table = self._all[name, by]  # type: ignore[index]  # a StrEnum is its text, and has its hash
            if text.startswith("[0,"):
                table.pop(value, None)
            else:
                table[value] = shared.setdefault(text, text)
                if len(shared) > SHARED:
                    shared.clear()
        self._used = tuple((name, by, table) for (name, by), table in self._all.items() if table)

    def find(self, payment: Mapping[str, Any], now_us: int) -> tuple[Entry, ...]:
        """Return the entries that name a payment and are in force at `now_us`, those of the stronger list first."""
        found: tuple[Entry, ...] = ()
        for name, by, table in self._used:
            value = acceptor_id(payment) if by is By.ACCEPTOR else payment.get(FIELD[by])
            text = table.get(value) if value else None
            if text is not None and now_us < (body := Body.restore(text)).until_us:
                found += (entry(Place(name, by, value), body),)  # type: ignore[arg-type]  # it is text where found
        return found


def entry(place: Place, body: Body) -> Entry:
    """Return an entry as people see it."""
    until = from_us(body.until_us)
    return Entry.model_construct(**place._asdict(), reason=body.reason, until=until, author=body.author)
