"""Where a payment belongs on Kafka: its key is its card, its partition murmur2 of that as Kafka's clients count."""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from contracts.topics import TRANSACTIONS
from errors import RejectedError

MASK = 0xFFFF_FFFF
SEED = 0x9747_B28C
FACTOR = 0x5BD1_E995
CARDS_KNOWN = 50_000
MISPLACED = ("wrong_key", "wrong_partition")
"""Codes of what came in the wrong place: a producer's configuration, so all of its payments."""


def check_place(record: Mapping[str, Any], key: bytes | None, partition: int) -> None:
    """Raise RejectedError unless a payment came under its card as key, in the card's partition.

    A card's window lives with its partition: payments of one card in two of them would overwrite each other's.
    """
    card: str = record["card_id"]
    if key != card.encode():
        what = "no key" if key is None else "another key"
        raise RejectedError("wrong_key", f"it came under {what}; the key of a payment is its card_id, as UTF-8")
    if partition != (wanted := card_partition(key)):
        raise RejectedError(
            "wrong_partition",
            f"it came in partition {partition}, its card's is {wanted}: set the producer's `partitioner` to "
            "murmur2_random (librdkafka) or leave Java's default",
        )


@lru_cache(maxsize=CARDS_KNOWN)
def card_partition(key: bytes) -> int:
    """Return the partition of a card in `transactions.raw`."""
    return (murmur2(key) & 0x7FFF_FFFF) % TRANSACTIONS.partitions


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data` under Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2)."""
    whole = len(data) & ~3
    found = SEED ^ len(data)
    for word in struct.unpack_from(f"<{whole // 4}I", data):
        mixed = word * FACTOR & MASK
        found = (found * FACTOR & MASK) ^ ((mixed ^ mixed >> 24) * FACTOR & MASK)
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * FACTOR & MASK
    found = (found ^ found >> 13) * FACTOR & MASK
    return found ^ found >> 15
