"""Brings a file through its mapping into the store: the first half of replay, and all of a dry run's reading."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion import columns
from ingestion.delays import Delay
from ingestion.producer import Seconds
from ingestion.reading import Reader
from ingestion.store import Store


@dataclass(frozen=True)
class Labels:
    """When labels become known: the delay after the payment, and the seed of its randomness."""

    delay: Delay
    seed: int


def load(reader: Reader, store: Store, labels: Labels, seconds: Seconds, advance: Callable[[int], None]) -> None:
    """Read, map and store every batch; adds to `seconds` under read, map, sort; `advance` gets each batch's rows."""
    rng = np.random.default_rng(labels.seed)
    clock = time.perf_counter
    batches = iter(reader)
    while True:
        started = clock()
        batch = next(batches, None)
        read = clock()
        seconds["read"] += read - started
        if batch is None:
            return
        mapped = columns.apply(batch.table, reader.mapping)
        mapped = _known(mapped, labels.delay(rng, mapped.num_rows)).append_column("row", pa.array(batch.rows))
        done = clock()
        store.add(mapped)
        seconds["map"] += done - read
        seconds["sort"] += clock() - done
        advance(mapped.num_rows)


def _known(mapped: pa.Table, delays: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Table:
    if "verdict" not in mapped.column_names:
        mapped = mapped.append_column("verdict", pa.nulls(mapped.num_rows, pa.string()))
    return mapped.append_column("known_at", pc.add(mapped.column("event_time"), pa.array(delays)))
