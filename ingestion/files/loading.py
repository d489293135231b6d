"""Brings a file through its mapping into the store: the first half of replay, and all of a dry run's reading."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from errors import InputError
from ingestion.delays import Delay
from ingestion.files import columns
from ingestion.files.reading import Reader
from ingestion.files.store import Store
from ingestion.producer import Seconds


@dataclass(frozen=True)
class Labels:
    """When labels become known: the delay after the payment, and the seed of its randomness."""

    delay: Delay
    seed: int


def load(reader: Reader, store: Store, labels: Labels, seconds: Seconds, advance: Callable[[int], None]) -> None:
    """Read, map and store every batch; InputError if there is no row.

    Adds to `seconds` under read, map and sort; `advance` is called with each batch's number of rows.
    """
    rng = np.random.default_rng(labels.seed)
    clock = time.perf_counter
    batches = iter(reader)
    while True:
        started = clock()
        batch = next(batches, None)
        read = clock()
        seconds["read"] += read - started
        if batch is None:
            break
        mapped = columns.apply(batch.table, reader.mapping)
        mapped = _known(mapped, labels.delay(rng, mapped.num_rows)).append_column("row", pa.array(batch.rows))
        done = clock()
        store.add(mapped)
        seconds["map"] += done - read
        seconds["sort"] += clock() - done
        advance(mapped.num_rows)
    if not store.columns:
        why = f"; {len(reader.broken):,} lines have another number of cells than the header" if reader.broken else ""
        raise InputError(f"{reader.path}: no rows after the header{why}")


def _known(mapped: pa.Table, delays: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Table:
    if "verdict" not in mapped.column_names:
        mapped = mapped.append_column("verdict", pa.nulls(mapped.num_rows, pa.string()))
    return mapped.append_column("known_at", pc.add(mapped.column("event_time"), pa.array(delays)))
