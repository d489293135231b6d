"""After `genuine`: for 24 hours the card raises no alert for the same reasons, blocks excepted."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from clients import redis
from epoch import to_us
from errors import ServerError
from scoring.notes import Note, NoteKind
from serving.desk.api.models import Suppressed
from serving.online import notes

log = logging.getLogger(__name__)
SPAN = timedelta(hours=24)


async def clear(card_id: str, codes: Sequence[str], known_at: datetime) -> Suppressed | None:
    """Note on the card that these reasons are cleared until a day after `known_at`; None if nothing was noted.

    Without Redis the verdict stands all the same: an alert too many is looked at once more.
    """
    until = known_at + SPAN
    if not codes or until <= datetime.now(UTC):
        return None
    note = Note(NoteKind.CLEARED, to_us(until), frozenset(codes))
    try:
        await asyncio.to_thread(_put, card_id, note)
    except ServerError as error:
        log.warning("a cleared card goes on alerting: %s", error)
        return None
    return Suppressed(codes=sorted(codes), until=until)


def _put(card_id: str, note: Note) -> None:
    with redis.connect() as client:
        notes.put(client, card_id, note)
