"""Answers already given, so that a payment asked twice is decided once: in Redis for a day, here while that is away."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from errors import LakehouseError

KEPT_S = 24 * 3600
FINGERPRINT_BYTES = 16


class ConflictError(LakehouseError):
    """The same (source, transaction_id) was asked before with another body."""


@dataclass(frozen=True)
class Asked:
    """A payment as asked: the key under which its answer is kept, and a fingerprint of everything it says."""

    key: bytes
    fingerprint: bytes

    def recall(self, kept: bytes) -> bytes:
        """Return the answer in a kept value; ConflictError if that was to another body."""
        if kept[:FINGERPRINT_BYTES] != self.fingerprint:
            raise ConflictError(
                "this source and transaction_id were asked before with another body; "
                "another payment needs an id of its own"
            )
        return kept[FINGERPRINT_BYTES:]

    def keep(self, answer: bytes) -> bytes:
        """Return the value to keep."""
        return self.fingerprint + answer


def asked(record: Mapping[str, Any]) -> Asked:
    """Return key and fingerprint of a validated record; how the body was spelt (order, spaces) does not count."""
    identity = orjson.dumps([record["source"], record["transaction_id"]])
    whole = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    return Asked(
        b"predict:" + hashlib.blake2b(identity, digest_size=16).hexdigest().encode(),
        hashlib.blake2b(whole, digest_size=FINGERPRINT_BYTES).digest(),
    )


class Memory:
    """The newest kept values of this process, bounded; it stands in while Redis is away."""

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
