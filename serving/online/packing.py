"""How a profile stands in Redis: one packed value an entity, written by the thousand with numpy and read with struct.

`profile:card:{card_id}`, `profile:acceptor:{acceptor_id}`: 8 bytes of schema hash, int32 as_of_day (days since 1970),
int64 profile_version, float64 for each column; little endian. `profile:meta:{kind}`: what has been published last.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

import features
from errors import ContractError

HASH = bytes.fromhex(features.SCHEMA_HASH)[:8]
"""What a value carries of the schema hash: enough to refuse another program's, short enough for millions of values."""


class Kind(StrEnum):
    """Whose profile it is."""

    CARD = "card"
    ACCEPTOR = "acceptor"

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns, in the order in which they are packed."""
        return features.CARD_COLUMNS if self is Kind.CARD else features.ACCEPTOR_COLUMNS

    @cached_property
    def prefix(self) -> bytes:
        """What the keys of this kind begin with."""
        return f"profile:{self.value}:".encode()

    @property
    def meta_key(self) -> bytes:
        """The key of what has been published last."""
        return f"profile:meta:{self.value}".encode()


ROW = {kind: struct.Struct(f"<8siq{len(kind.columns)}d") for kind in Kind}
META = struct.Struct("<8siq")


@dataclass(frozen=True)
class Meta:
    """What the feature writer has published: newest as_of_day, its mark (microseconds), and the schema hash."""

    day: int
    mark_us: int
    schema_hash: bytes = HASH

    def pack(self) -> bytes:
        """Return the value to store."""
        return META.pack(self.schema_hash, self.day, self.mark_us)

    @classmethod
    def unpack(cls, value: bytes) -> Self:
        """Read a stored value; ContractError if it is not one."""
        if len(value) != META.size:
            raise ContractError(
                f"a profile meta value has {META.size} bytes, this one {len(value)}; push features again"
            )
        schema_hash, day, mark = META.unpack(value)
        return cls(day, mark, schema_hash)


class Row(NamedTuple):
    """One entity's profile: day it describes, version of the row, values in the order of its kind's columns."""

    day: int
    version: int
    values: tuple[float, ...]
    schema_hash: bytes = HASH


def unpack(kind: Kind, value: bytes) -> Row:
    """Read a stored profile; ContractError if its length is not that of `kind`. The hash is the caller's to check."""
    row = ROW[kind]
    if len(value) != row.size:
        raise ContractError(f"a {kind} profile has {row.size} bytes, this one {len(value)}; push features again")
    found = row.unpack(value)
    return Row(found[1], found[2], found[3:], found[0])


def pack(kind: Kind, days: NDArray[np.int32], versions: NDArray[np.int64], values: NDArray[np.float64]) -> list[bytes]:
    """Return one packed value a row; `days` and `versions` of shape (n,), `values` of shape (n, columns of `kind`)."""
    layout = np.dtype([("hash", "S8"), ("day", "<i4"), ("version", "<i8"), ("values", "<f8", (len(kind.columns),))])
    table = np.empty(len(days), dtype=layout)
    table["hash"], table["day"], table["version"], table["values"] = HASH, days, versions, values
    packed, size = table.tobytes(), layout.itemsize
    return [packed[start : start + size] for start in range(0, len(packed), size)]
