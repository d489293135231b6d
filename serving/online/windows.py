"""How windows stand in Redis, and the one script that writes them: only forward, and only over the progress expected.

`window:{version}:card:{card_id}`: int64 offset and int32 partition of the card's last observed payment, then its
packed window. `window:{version}:progress:{partition}`: int64 next offset, int64 UTC microseconds before which
every payment that reached the partition has been observed, and the topic's id in 16 bytes. Only the stream writes them.
Little endian. A new version of windows has new keys, finds no progress, and so is made again from Kafka.
"""

import logging
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from clients.redis import Command
from contracts.topics import TRANSACTIONS
from errors import ContractError
from features import SECOND_US, WINDOW_TTL_S, WINDOW_VERSION, Profile, Status, Window, windowed

log = logging.getLogger(__name__)
PREFIX = b"window:%d:card:" % WINDOW_VERSION
PROGRESS_KEYS = tuple(
    b"window:%d:progress:%d" % (WINDOW_VERSION, partition) for partition in range(TRANSACTIONS.partitions)
)
KEPT_S = 32 * 86_400
"""A card's last payment is remembered for 30 days."""
PLACE = struct.Struct("<qi")
PROGRESS = struct.Struct("<qq16s")
NO_TOPIC = bytes(16)
NONE = -1
"""The progress of a partition of which Redis knows nothing."""
HELD = -3
"""The progress of a partition whose windows are being forgotten: until that is over, nothing is written."""

WRITE = b"""
local partitions, found, whole = tonumber(ARGV[1]), {}, true
for i = 1, partitions do
  local stored = redis.call('GET', KEYS[i])
  found[i] = stored and struct.unpack('<i8', stored) or -1
  whole = whole and found[i] == tonumber(ARGV[2 * i])
end
if whole then
  for i = partitions + 1, #KEYS do
    local value = ARGV[1 + partitions + i]
    local stored = redis.call('GETRANGE', KEYS[i], 0, 11)
    if #stored < 12 or string.sub(stored, 9) ~= string.sub(value, 9, 12)
        or struct.unpack('<i8', stored) < struct.unpack('<i8', value) then
      redis.call('SET', KEYS[i], value, 'EX', KEPT_S)
    end
  end
  for i = 1, partitions do redis.call('SET', KEYS[i], ARGV[1 + 2 * i]) end
end
return found
""".replace(b"KEPT_S", b"%d" % KEPT_S)
"""Returns the next offset stored for each partition; nothing is written unless all are those expected."""


@dataclass(slots=True)
class Card:
    """A card's window, and where on Kafka its last observed payment stands (-1: none yet)."""

    partition: int
    offset: int = NONE
    window: Window = field(default_factory=Window)

    def pack(self) -> bytes:
        """Return the value to store."""
        return PLACE.pack(self.offset, self.partition) + self.window.pack()

    @classmethod
    def unpack(cls, value: bytes) -> Self:
        """Read a stored value; ContractError if it is not one of this program's."""
        if len(value) < PLACE.size:
            raise ContractError(f"not a window: {len(value)} bytes")
        offset, partition = PLACE.unpack_from(value)
        if not 0 <= partition < TRANSACTIONS.partitions:
            raise ContractError(f"not a window: of partition {partition}, and there are {TRANSACTIONS.partitions}")
        return cls(partition, offset, Window.unpack(value[PLACE.size :]))


@dataclass(frozen=True)
class Progress:
    """How far a partition is observed: the next offset, and the moment (UTC us) before which nothing is missing.

    `topic` is the id that Kafka gave the topic: one made anew under the same name has another, and offsets of its own.
    """

    next_offset: int
    at_us: int
    topic: bytes = NO_TOPIC

    def pack(self) -> bytes:
        """Return the value to store."""
        return PROGRESS.pack(self.next_offset, self.at_us, self.topic)

    @classmethod
    def unpack(cls, value: bytes | None) -> Self:
        """Read a stored value; without one, nothing is observed."""
        size = 0 if value is None else len(value)
        if value is None or size not in (PROGRESS.size, PROGRESS.size - len(NO_TOPIC)):
            return cls(NONE, 0)
        return cls(*PROGRESS.unpack(value.ljust(PROGRESS.size, b"\0")))


def key(card_id: str) -> bytes:
    """Return the key of a card's window."""
    return PREFIX + card_id.encode()


def read(owners: Mapping[str, int], values: Sequence[bytes | None]) -> dict[str, Card]:
    """Return the cards of stored values; `owners` has each one's partition. An unreadable one begins anew."""
    found = {}
    for (card_id, partition), value in zip(owners.items(), values, strict=True):
        try:
            found[card_id] = Card(partition) if value is None else Card.unpack(value)
        except ContractError as error:
            log.warning("window of a card of partition %d cannot be read and begins anew: %s", partition, error)
            found[card_id] = Card(partition)
    return found


def packed(cards: Mapping[str, Card]) -> dict[str, bytes]:
    """Return the values to store."""
    return {card_id: card.pack() for card_id, card in cards.items()}


def judge(payment: Mapping[str, Any], value: bytes | None, progress: Sequence[bytes | None]) -> Profile:
    """Return what a card's stored window says of a payment; `progress` has the value of every partition, in order.

    Stale if the card's partition is observed to more than WINDOW_TTL_S before the payment: then its last payments may
    be missing. Of a card without a window nobody knows the partition, so all of them must be fresh.
    """
    try:
        card = Card.unpack(value) if value is not None else None
    except ContractError:
        return Profile(Status.STALE)
    if card is None:
        at_us = min(Progress.unpack(each).at_us for each in progress)
    else:
        at_us = Progress.unpack(progress[card.partition]).at_us
    if payment["event_time"] - at_us > WINDOW_TTL_S * SECOND_US:
        return Profile(Status.STALE, at_us=at_us or None)
    return windowed(payment, card.window if card else Window(), at_us)


def write(steps: Mapping[int, tuple[int, Progress]], cards: Mapping[str, bytes]) -> Command:
    """Return the command that stores packed `cards` and moves each partition from its expected next offset on.

    Its answer is the list of next offsets found, in the order of `steps`; unless they are those expected, nothing was
    written.
    """
    keys = [*(PROGRESS_KEYS[partition] for partition in steps), *map(key, cards)]
    moves = [part for expected, progress in steps.values() for part in (expected, progress.pack())]
    return (b"EVAL", WRITE, len(keys), *keys, len(steps), *moves, *cards.values())
