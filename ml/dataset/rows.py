"""Payments as the model sees them: point-in-time rows of the lake, each through `features.build`, the only builder."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from errors import InputError
from features import NOT_ATTEMPTS
from ml import parallel
from ml.dataset.masking import CASES, Masked, masks
from ml.dataset.vectors import Matrix, vectors


@dataclass(frozen=True)
class Rows:
    """n payments in time order.

    X (n, features) float32 as each was at its time; `masked_at` (m,) and `masked` (m, features) the same for those
    that lose something in training; `key` (n,) source and id; `event_time` (n,) microseconds UTC; `card` (n,) codes;
    `outages` for each outage the matrix of the last payments, from `outages_from` on, as scored during it.
    """

    X: Matrix
    masked_at: NDArray[np.int64]
    masked: Matrix
    key: pa.LargeStringArray
    event_time: NDArray[np.int64]
    card: NDArray[np.int64]
    outages_from: int = 0
    outages: dict[Masked, Matrix] = field(default_factory=dict)

    def between(self, start_us: int, end_us: int) -> slice:
        """Return the slice of the payments with start_us <= event_time < end_us."""
        first, last = np.searchsorted(self.event_time, [start_us, end_us])
        return slice(int(first), int(last))

    def for_training(self, part: slice) -> Matrix:
        """Return a copy of X of `part` in which the chosen payments lack what they lose."""
        X = self.X[part].copy()
        chosen = slice(*np.searchsorted(self.masked_at, [part.start, part.stop]))
        X[self.masked_at[chosen] - part.start] = self.masked[chosen]
        return X


def collect(tables: Iterable[pa.Table], outages_from_us: int, progress: Callable[[int], None] = lambda _: None) -> Rows:
    """Build the rows of point-in-time `tables` (in time order); `progress` is told how many are done.

    Refunds and reversals are left out: nobody decides about them. InputError if the tables hold nothing else.
    """
    parts: list[_Part] = []
    for part in parallel.map_chunks(partial(_build_part, outages_from_us=outages_from_us), _chunks(tables)):
        parts.append(part)
        progress(len(part.X))
    if not parts:
        raise InputError(
            "the lake has no payments in this period; `python -m ml evaluate --help` says how to choose "
            "another, `make status` whether the refresh has run"
        )
    offsets = np.cumsum([0, *(len(part.X) for part in parts[:-1])])
    event_time = np.concatenate([part.event_time for part in parts])
    outages_from = int(np.searchsorted(event_time, outages_from_us))
    return Rows(
        X=np.concatenate([part.X for part in parts]),
        masked_at=np.concatenate([part.masked_at + offset for part, offset in zip(parts, offsets, strict=True)]),
        masked=np.concatenate([part.masked for part in parts]),
        key=pa.concat_arrays([part.key for part in parts]),
        event_time=event_time,
        card=_codes([part.card for part in parts]),
        outages_from=outages_from,
        outages={
            outage: np.concatenate([part.outages[outage] for part in parts if outage in part.outages])
            for outage in CASES.values()
            if outages_from < len(event_time)
        },
    )


@dataclass(frozen=True)
class _Part:
    """The rows of one chunk."""

    X: Matrix
    masked_at: NDArray[np.int64]
    masked: Matrix
    key: pa.LargeStringArray
    event_time: NDArray[np.int64]
    card: pa.Array
    outages: dict[Masked, Matrix]


def _build_part(table: pa.Table, outages_from_us: int) -> _Part:
    event_time = table.column("event_time").to_numpy()
    masked = masks(table.column("source").to_pylist(), table.column("transaction_id").to_pylist())
    masked_at = np.flatnonzero(masked)
    late = table.slice(int(np.searchsorted(event_time, outages_from_us)))
    return _Part(
        X=vectors(table, np.zeros(table.num_rows, np.int8)),
        masked_at=masked_at,
        masked=vectors(table.take(pa.array(masked_at)), masked[masked_at]),
        key=keys(table),
        event_time=event_time,
        card=table.column("card_id").combine_chunks(),
        outages={o: vectors(late, np.full(late.num_rows, o, np.int8)) for o in CASES.values() if late.num_rows},
    )


def keys(table: pa.Table) -> pa.LargeStringArray:
    """Return one text for each (source, transaction_id)."""
    texts = (table.column(name).cast(pa.large_string()) for name in ("source", "transaction_id"))
    return pc.binary_join_element_wise(*texts, pa.scalar("\x1f", pa.large_string())).combine_chunks()


def _chunks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for table in tables:
        scored = pc.invert(pc.is_in(table.column("message_type"), value_set=pa.array(sorted(NOT_ATTEMPTS))))
        waiting.append(table.filter(scored))
        if sum(t.num_rows for t in waiting) >= parallel.CHUNK:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if sum(t.num_rows for t in waiting):
        yield pa.concat_tables(waiting).combine_chunks()


def _codes(parts: list[pa.Array]) -> NDArray[np.int64]:
    encoded = pa.chunked_array(parts).dictionary_encode().combine_chunks()
    codes: NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return codes
