"""What the scorer asks of Redis in one round trip: profiles, window, notes, kept answer; the first answer kept wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from errors import ServerError
from features import Profile, acceptor_id
from scoring.notes import Note
from serving.online import notes
from serving.online import windows as window_store
from serving.online.idempotency import KEPT_S, Asked, Memory
from serving.online.packing import Kind
from serving.online.pipe import Pipe
from serving.online.profiles import ABSENT, UNREACHABLE, judge

CARD, ACCEPTOR = Kind.CARD.prefix, Kind.ACCEPTOR.prefix
METAS = (Kind.CARD.meta_key, Kind.ACCEPTOR.meta_key)


@dataclass(frozen=True)
class Found:
    """What is known of one payment: its card, its acceptor, its card's window and notes, and the answer kept for it."""

    card: Profile
    acceptor: Profile
    window: Profile
    kept: bytes | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Store:
    """The online store behind its breaker, and this process's own memory of answers for when it is away."""

    pipe: Pipe
    memory: Memory

    async def find(
        self, records: Sequence[Mapping[str, Any]], asked: Sequence[Asked]
    ) -> tuple[list[Found], str | None]:
        """Return what is known of each payment, in order, and why Redis could not be asked (None: it could)."""
        acceptors = [acceptor_id(record) for record in records]
        keys: list[bytes] = [*METAS, *window_store.PROGRESS_KEYS]
        for record, acceptor, ask in zip(records, acceptors, asked, strict=True):
            keys += (CARD + record["card_id"].encode(), window_store.key(record["card_id"]), ask.key)
            keys.append(notes.key(record["card_id"]))
            if acceptor is not None:
                keys.append(ACCEPTOR + acceptor.encode())
        try:
            values = (await self.pipe.send([(b"MGET", *keys)]))[0]
        except ServerError as error:
            missing = [
                Found(UNREACHABLE, UNREACHABLE if acceptor else ABSENT, UNREACHABLE, self.memory.get(ask.key))
                for acceptor, ask in zip(acceptors, asked, strict=True)
            ]
            return missing, str(error)
        card_meta, acceptor_meta = values[: len(METAS)]
        rest = len(METAS) + len(window_store.PROGRESS_KEYS)
        progress, values_left = values[len(METAS) : rest], iter(values[rest:])
        found = []
        for record, acceptor, ask in zip(records, acceptors, asked, strict=True):
            time_us = record["event_time"]
            card = judge(Kind.CARD, card_meta, next(values_left), time_us)
            window = window_store.judge(record, next(values_left), progress)
            kept, noted = next(values_left), notes.unpack(next(values_left))
            profile = ABSENT
            if acceptor is not None:
                profile = judge(Kind.ACCEPTOR, acceptor_meta, next(values_left), time_us)
            found.append(Found(card, profile, window, self.memory.get(ask.key) or kept, noted))
        return found, None

    async def keep(self, asked: Sequence[Asked], values: Sequence[bytes], *, reachable: bool) -> list[bytes]:
        """Keep each value under its key unless one is kept already; return those that stand, in order.

        With Redis away the memory of this process keeps them, so a repeat here is still answered the same.
        """
        if reachable:
            commands = [
                (b"SET", ask.key, value, b"NX", b"GET", b"EX", KEPT_S) for ask, value in zip(asked, values, strict=True)
            ]
            try:
                earlier = await self.pipe.send(commands)
            except ServerError:
                pass  # counted by the breaker; the memory keeps them instead
            else:
                return [old or value for old, value in zip(earlier, values, strict=True)]
        return [self.memory.keep(ask.key, value) for ask, value in zip(asked, values, strict=True)]
