"""The decisions of Bronze as columns: their vectors as one matrix, and when windows were missing."""

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from epoch import from_us
from errors import ContractError
from features import NAMES, SECOND_US
from lake import reading
from lake.arrivals import HISTORY_US

COLUMNS = (
    "source",
    "transaction_id",
    "card_id",
    "event_time",
    "payment_partition",
    "payment_offset",
    "decided_at",
    "groups",
    "vector",
    "schema_hash",
)
TIMES = ("event_time", "decided_at")
STREAM: reading.Filters = [("payment_offset", ">=", 0)]
"""The decisions on payments from Kafka."""
APART_US = 60 * SECOND_US
"""Decisions without a window that are further apart are of two outages."""

Outages = list[tuple[int, int]]
"""The first and last decision (UTC us) of each span in which some had no window, in order of time."""


def read(table: DeltaTable, start_us: int, end_us: int, columns: Sequence[str] = COLUMNS) -> pa.Table:
    """Return `columns` of the stream's decisions on payments with event_time in [start_us, end_us).

    Times are int64 UTC us. What the API decided is left out: it read its windows as they stood when it was asked, and
    no log repeats that moment.
    """
    period: reading.Filters = [*STREAM, ("event_time", ">=", from_us(start_us)), ("event_time", "<", from_us(end_us))]
    found = reading.read(table, columns, period)
    for name in (name for name in TIMES if name in columns):
        whole = found[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        found = found.set_column(found.column_names.index(name), name, whole)
    return found


def matrix(vectors: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return the logged vectors as one matrix (n, features), as they stand in memory; ContractError if one is cut."""
    width = 4 * len(NAMES)
    lengths = pc.min_max(pc.binary_length(vectors)).as_py()
    if vectors.null_count or any(found not in {None, width} for found in lengths.values()):
        raise ContractError(f"a logged vector has {lengths['min']} bytes, {width} hold this program's features")
    parts = [np.empty((0, len(NAMES)), np.float32)]
    for chunk in vectors.chunks:
        if len(chunk):
            offsets = np.frombuffer(chunk.buffers()[1], np.int32, len(chunk) + 1, chunk.offset * 4)
            row = np.frombuffer(chunk.buffers()[2], "<f4", len(chunk) * len(NAMES), int(offsets[0]))
            parts.append(row.reshape(-1, len(NAMES)))
    return np.concatenate(parts)


def outages(table: DeltaTable, start_us: int, end_us: int) -> Outages:
    """Return when decisions on payments of [start_us, end_us), and of the month before, had no window.

    What is lost is made again from the last 25 hours, and a window remembers its last payment for 30 days. One Redis
    has the windows of all partitions, so a decision of any of them tells.
    """
    period: reading.Filters = [
        *STREAM,
        ("event_time", ">=", from_us(start_us - HISTORY_US)),
        ("event_time", "<", from_us(end_us)),
    ]
    found = reading.read(table, ["decided_at", "degraded"], period)
    sql = """
        select epoch_us(decided_at) from found
        where json_extract_string(degraded, '$.window') in ('stale', 'unreachable') order by all"""
    spans: Outages = []
    with duckdb.connect() as database:
        database.register("found", found)
        for (at_us,) in database.execute(sql).fetchall():
            if spans and at_us - spans[-1][1] <= APART_US:
                spans[-1] = (spans[-1][0], at_us)
            else:
                spans.append((at_us, at_us))
    return spans
