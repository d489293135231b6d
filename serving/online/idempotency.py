"""Decisions already answered, so that a payment asked twice is decided once: the first one kept stands.

They are kept in a store of their own, which may evict them, so that a cache can never push out a feature; while it is
away this process remembers its newest ones.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from errors import LakehouseError, ServerError
from serving.online.pipe import Pipe

PREFIX = b"predict:"
KEPT_S = 24 * 3600
FINGERPRINT_BYTES = 16


class ConflictError(LakehouseError):
    """The same (source, transaction_id) was asked before with another body."""


@dataclass(frozen=True)
class Asked:
    """A payment as asked: the key under which its decision is kept, and a fingerprint of everything it says."""

    key: bytes
    fingerprint: bytes

    @property
    def decision_id(self) -> str:
        """The key of the decision on it: the same for the same payment, whoever decides."""
        return f"api:{self.fingerprint.hex()}"

    def recall(self, kept: bytes) -> bytes:
        """Return the decision in a kept value; ConflictError if that was on another body."""
        if kept[:FINGERPRINT_BYTES] != self.fingerprint:
            raise ConflictError(
                "this source and transaction_id were asked before with another body; "
                "another payment needs an id of its own"
            )
        return kept[FINGERPRINT_BYTES:]

    def keep(self, decision: bytes) -> bytes:
        """Return the value to keep."""
        return self.fingerprint + decision


def asked(record: Mapping[str, Any]) -> Asked:
    """Return key and fingerprint of a validated record; how the body was spelt (order, spaces) does not count."""
    identity = orjson.dumps([record["source"], record["transaction_id"]])
    whole = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    return Asked(
        PREFIX + hashlib.blake2b(identity, digest_size=16).hexdigest().encode(),
        hashlib.blake2b(whole, digest_size=FINGERPRINT_BYTES).digest(),
    )


class Memory:
    """The newest kept values of this process, bounded; it stands in while the store is away."""

    def __init__(self, most: int) -> None:
        """Hold at most `most` values."""
        self._most = most
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, key: bytes) -> bytes | None:
        """Return the kept value, if it is still held."""
        return self._kept.get(key)

    def keep(self, key: bytes, value: bytes) -> bytes:
        """Keep `value` unless one is held already; return the one that stands."""
        standing = self._kept.setdefault(key, value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return standing


@dataclass(frozen=True)
class Answered:
    """The store of decisions that were answered, behind its breaker, and this process's memory for when it is away."""

    pipe: Pipe
    memory: Memory

    def remembered(self, ask: Asked) -> bytes | None:
        """Return the value that this process kept while the store was away."""
        return self.memory.get(ask.key)

    async def keep(self, asks: Sequence[Asked], decisions: Sequence[bytes]) -> list[bytes]:
        """Keep each decision unless there is one on that payment already; return the values that stand, in order."""
        values = [ask.keep(decision) for ask, decision in zip(asks, decisions, strict=True)]
        commands = [(b"SET", a.key, value, b"NX", b"GET", b"EX", KEPT_S) for a, value in zip(asks, values, strict=True)]
        try:
            earlier = await self.pipe.send(commands)
        except ServerError:  # counted by the breaker
            return [self.memory.keep(ask.key, value) for ask, value in zip(asks, values, strict=True)]
        return [old or value for old, value in zip(earlier, values, strict=True)]
