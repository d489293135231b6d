"""What is known of payments online, in one round trip: their cards' and acceptors' profiles, windows and notes."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from errors import ServerError
from features import Profile, acceptor_id
from scoring.notes import Note
from serving.online import notes, windows
from serving.online.packing import Kind
from serving.online.pipe import Pipe
from serving.online.profiles import ABSENT, UNREACHABLE, judge

METAS = (Kind.CARD.meta_key, Kind.ACCEPTOR.meta_key)
Notes = dict[str, tuple[Note, ...]]
"""By card; only of cards that have some."""


class Online(NamedTuple):
    """What Redis has of some payments.

    profiles: each payment's card's and acceptor's, in order; windows: the stored value of each card's window (None in
    its place: it has none), and None as a whole if Redis is away: then profiles are unreachable and no note is known.
    progress: how far each partition is observed, as stored.
    """

    profiles: list[tuple[Profile, Profile]]
    windows: dict[str, bytes | None] | None
    notes: Notes
    progress: Sequence[bytes | None]


async def fetch(pipe: Pipe, payments: Sequence[Mapping[str, Any]]) -> Online:
    """Return what is known of validated payments; Redis being away is an answer, not an error."""
    acceptors = [acceptor_id(payment) for payment in payments]
    cards = list(dict.fromkeys(payment["card_id"] for payment in payments))
    named = list(dict.fromkeys(acceptor for acceptor in acceptors if acceptor is not None))
    keys: list[bytes] = [*METAS, *windows.PROGRESS_KEYS, *map(windows.key, cards), *map(notes.key, cards)]
    keys += [Kind.CARD.prefix + card_id.encode() for card_id in cards]
    keys += [Kind.ACCEPTOR.prefix + acceptor.encode() for acceptor in named]
    try:
        values = (await pipe.send([(b"MGET", *keys)]))[0]
    except ServerError:
        return Online([(UNREACHABLE, UNREACHABLE if acceptor else ABSENT) for acceptor in acceptors], None, {}, ())
    left = iter(values)
    card_meta, acceptor_meta = islice(left, len(METAS))
    progress = list(islice(left, len(windows.PROGRESS_KEYS)))
    of_cards = dict(zip(cards, islice(left, len(cards)), strict=True))
    noted = {
        card_id: notes.unpack(value) for card_id, value in zip(cards, islice(left, len(cards)), strict=True) if value
    }
    card_rows = dict(zip(cards, islice(left, len(cards)), strict=True))
    acceptor_rows = dict(zip(named, left, strict=True))
    profiles = []
    for payment, acceptor in zip(payments, acceptors, strict=True):
        time_us = payment["event_time"]
        card = judge(Kind.CARD, card_meta, card_rows[payment["card_id"]], time_us)
        known = judge(Kind.ACCEPTOR, acceptor_meta, acceptor_rows[acceptor], time_us) if acceptor else ABSENT
        profiles.append((card, known))
    return Online(profiles, of_cards, noted, progress)
