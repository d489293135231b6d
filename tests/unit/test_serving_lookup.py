"""What the stream reads of Redis for one batch: in order, and only what still stands."""

import asyncio

import orjson
import pytest

from errors import UnreachableError
from features import Status
from scoring.notes import Note, NoteKind
from serving.online import lookup
from serving.online.windows import NONE, Progress
from tests.unit.test_serving_windows import NOW, arrival, busy

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


def find(values, stored):
    return asyncio.run(lookup.find(Store(values), [arrival(merchant_id="m")], {CARD: 2}, stored))


def values(progress, window, note=None):
    return [
        None,
        None,
        *(None if each is None else Progress(each, NOW).pack() for each in progress),
        window,
        None,
        None,
        note,
    ]


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
    """A store that was emptied, rolled back or taken over since gives no window, in the same round trip."""
    profiles, cards, _ = find(values(progress, busy().pack()), stored)
    assert [profile.status for profile in profiles[0]] == [Status.STALE, Status.STALE]
    assert {card_id: card.pack() for card_id, card in cards.items()} == ({CARD: busy().pack()} if stands else {})


def test_a_store_that_is_away_gives_nothing():
    """Without Redis every profile is unreachable, and there are no windows to write over."""
    profiles, cards, notes = find(None, {2: 6})
    assert [profile.status for profile in profiles[0]] == [Status.UNREACHABLE, Status.UNREACHABLE]
    assert (cards, notes) == (None, {})


def test_notes_come_with_the_rest():
    """A card's notes are read in the same round trip; those that cannot be read cover nothing."""
    note = Note(NoteKind.TRAVEL, NOW, frozenset({"place"}))
    assert find(values([None] * 4, None, orjson.dumps([note.plain()])), {})[2] == {CARD: (note,)}
    assert find(values([None] * 4, None), {})[2] == {}
    assert find(values([None] * 4, None, b"[{}]"), {})[2] == {CARD: ()}
