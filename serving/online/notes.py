"""Notes on cards in Redis: `note:1:{card_id}`, a JSON array of the card's notes, gone when the last one is over."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import orjson
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from clients.redis import mapped
from errors import InputError
from scoring.notes import GROUPS, Note, NoteKind, live

__all__ = ["GROUPS", "Note", "NoteKind", "key", "put", "read", "unpack"]

log = logging.getLogger(__name__)
PREFIX = b"note:1:"
LONGEST_US = 366 * 86_400 * 1_000_000
"""A note that never ends would be an allow list without an owner."""


def key(card_id: str) -> bytes:
    """Return the key of a card's notes."""
    return PREFIX + card_id.encode()


def unpack(value: bytes | None) -> tuple[Note, ...]:
    """Return the notes of a stored value, over or not; one that cannot be read covers nothing."""
    if value is None:
        return ()
    try:
        return tuple(Note.restore(each) for each in orjson.loads(value))
    except (ValueError, TypeError, InputError) as error:
        log.warning("notes of a card cannot be read and are left out: %s", error)
        return ()


def read(client: Redis, card_id: str) -> tuple[Note, ...]:
    """Return a card's notes that are in force; ServerError if Redis does not say."""
    try:
        value: bytes | None = client.get(key(card_id))  # type: ignore[assignment]  # not awaited, not decoded
    except (RedisError, OSError) as error:
        raise mapped(error, "reading the notes of a card") from error
    return live(unpack(value), time.time_ns() // 1_000)


def put(client: Redis, card_id: str, note: Note) -> tuple[Note, ...]:
    """Add a note to a card's; the same kind and codes again only move its end. Returns all that are in force.

    InputError if it is over already or would last more than a year; ServerError if Redis does not take it.
    """
    now_us = time.time_ns() // 1_000
    if not now_us < note.until_us <= now_us + LONGEST_US:
        raise InputError("a note ends in the future, and within a year")

    def write(pipe: Pipeline) -> Sequence[Note]:
        value: bytes | None = pipe.get(key(card_id))  # type: ignore[assignment]  # watched: it answers at once
        others = [each for each in live(unpack(value), now_us) if (each.kind, each.codes) != (note.kind, note.codes)]
        kept = (*others, note)
        pipe.multi()
        last_ms = max(each.until_us for each in kept) // 1_000 + 1
        pipe.set(key(card_id), orjson.dumps([each.plain() for each in kept]), pxat=last_ms)
        return kept

    try:
        transaction: Any = client.transaction  # its stub knows no value_from_callable
        return tuple(transaction(write, key(card_id), value_from_callable=True))
    except (RedisError, OSError) as error:
        raise mapped(error, "writing a note of a card") from error
