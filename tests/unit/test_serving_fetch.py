"""What both doors read of Redis for some payments: one round trip, each value where it belongs."""

import asyncio

import orjson
import pytest

from errors import UnreachableError
from features import Status
from scoring.notes import Note, NoteKind
from serving.online import windows
from serving.online.fetch import Online, fetch
from serving.online.windows import NONE
from serving.stream.scorer import cards_of
from tests.unit.test_serving_windows import NOW, busy, paid

CARD = "ab" * 32


class Store:
    """A pipe to a store that gives the same values whatever is asked."""

    def __init__(self, values):
        self.values, self.asked = values, []

    async def send(self, commands):
        """Answer one command with the values."""
        if self.values is None:
            raise UnreachableError("away")
        (self.asked,) = commands
        return [self.values]


def find(stored, *payments):
    return asyncio.run(fetch(Store(stored), payments or [paid(merchant_id="m")]))


def test_each_value_goes_where_it_belongs():
    """Keys stand once each, in one command; what comes back is found by its key, whatever the payments' order."""
    store = Store(None)
    payments = [
        paid(card_id="aa" * 32, merchant_id="m"),
        paid(card_id="bb" * 32),
        paid(card_id="aa" * 32, merchant_id="n"),
    ]

    class Echo(Store):
        async def send(self, commands):
            (command,) = commands
            store.asked = command[1:]
            return [[key if key.startswith(windows.PREFIX) else None for key in command[1:]]]

    found = asyncio.run(fetch(Echo(None), payments))
    assert len(set(store.asked)) == len(store.asked)
    assert found.windows == {card: windows.key(card) for card in ("aa" * 32, "bb" * 32)}
    assert [[each.status for each in pair] for pair in found.profiles] == [
        [Status.STALE, Status.STALE],
        [Status.STALE, Status.ABSENT],
        [Status.STALE, Status.STALE],
    ]


def values(note=None):
    return [None, None, *[None] * 4, busy().pack(), note, None, None]


def test_a_store_that_is_away_gives_nothing():
    """Without Redis every profile is unreachable, and there are no windows to write over."""
    found = find(None)
    assert [profile.status for profile in found.profiles[0]] == [Status.UNREACHABLE, Status.UNREACHABLE]
    assert (found.windows, found.notes) == (None, {})


def test_notes_come_with_the_rest():
    """A card's notes are read in the same round trip; those that cannot be read cover nothing."""
    note = Note(NoteKind.TRAVEL, NOW, frozenset({"place"}))
    assert find(values(orjson.dumps([note.plain()]))).notes == {CARD: (note,)}
    assert find(values()).notes == {}
    assert find(values(b"[{}]")).notes == {CARD: ()}


@pytest.mark.parametrize(
    ("progress", "stored", "stands"),
    [
        ([None, None, 6, None], {2: 6}, True),
        ([None] * 4, {2: NONE}, True),
        ([None] * 4, {2: 6}, False),
        ([None, None, 7, None], {2: 6}, False),
        ([6, 6, 6, 6], {}, False),
    ],
)
def test_windows_count_only_with_the_progress_that_we_left(progress, stored, stands):
    """A store that was emptied, rolled back or taken over since gives the stream no window."""
    packed = [None if each is None else windows.Progress(each, NOW).pack() for each in progress]
    online = Online([], {CARD: busy().pack()}, {}, packed)
    cards = cards_of(online, {CARD: 2}, stored)
    assert {card_id: card.pack() for card_id, card in cards.items()} == ({CARD: busy().pack()} if stands else {})
