"""A lake of many decisions: the real ones, repeated under new cards and ids, with what they were made from.

It stands under `bronze/bench-.../` in the bucket, where Spark's key may write, and is gone afterwards.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake

from clients import delta, s3
from errors import InputError
from lake import reading
from lake.arrivals import HISTORY_US
from lake.tables import (
    BRONZE_DECISIONS,
    BRONZE_TRANSACTIONS,
    CARD_FEATURES,
    LABEL_EVENTS,
    MERCHANT_RISK,
    TRANSACTIONS,
    Table,
)
from settings import settings

AT_ONCE = 100_000
"""Rows of one write."""
FAR = 10**9
"""Offsets by which the copies of a payment are apart."""
KEPT = (
    "source",
    "transaction_id",
    "card_id",
    "event_time",
    "payment_partition",
    "payment_offset",
    "decided_at",
    "decision",
    "decided_by",
    "score",
    "degraded",
    "groups",
    "vector",
    "features",
    "schema_hash",
    "ingested_date",
)


@contextmanager
def decisions(count: int, *, history: bool) -> Iterator[tuple[dict[str, str], int, date, date]]:
    """Yield the environment in which a command sees at least `count` decisions; how many, and first and last day.

    With `history` Bronze and Gold have all that the vectors were made from, else Silver has the payments.
    """
    made = reading.read(BRONZE_DECISIONS, KEPT)
    if not made.num_rows:
        raise InputError("bronze.decisions is empty; send payments (`make demo`) so that there are some")
    copies, folder = math.ceil(count / made.num_rows), f"bronze/bench-{os.urandom(3).hex()}"
    period = pc.min_max(made["event_time"]).as_py()
    first, last = period["min"], period["max"]
    days: reading.Filters = [("as_of_day", ">=", first.date() - timedelta(days=1)), ("as_of_day", "<=", last.date())]
    cards, shops = reading.read(CARD_FEATURES, None, days), reading.read(MERCHANT_RISK, None, days)
    since = first - timedelta(microseconds=HISTORY_US)
    paid = reading.read(BRONZE_TRANSACTIONS, None, [("event_time", ">=", since)])
    theirs = pc.is_in(paid["card_id"], pc.unique(made["card_id"]))
    tables = {
        BRONZE_DECISIONS: (made, copies),
        BRONZE_TRANSACTIONS: (paid.filter(theirs), copies if history else 1),
        CARD_FEATURES: (cards, copies if history else 1),
        MERCHANT_RISK: (shops, 1),
    }
    if not history:
        silver = reading.read(TRANSACTIONS, None, [("event_day", ">=", first.date())])
        silver = silver.filter(pc.is_in(silver["transaction_id"], pc.unique(made["transaction_id"])))
        labels = reading.read(LABEL_EVENTS)
        known = pc.is_in(labels["transaction_id"], pc.unique(silver["transaction_id"]))
        tables |= {TRANSACTIONS: (silver, copies), LABEL_EVENTS: (labels.filter(known), copies)}
    try:
        for table, (rows, times) in tables.items():
            _write(folder, table, rows, times)
        environment = {"S3_BUCKET": f"{settings().s3_bucket}/{folder}"}
        yield environment, made.num_rows * copies, first.date(), last.date()
    finally:
        for path in list(s3.keys(f"{folder}/", "spark")):
            s3.delete(path, "spark")


def _write(folder: str, table: Table, rows: pa.Table, copies: int) -> None:
    path = f"s3://{settings().s3_bucket}/{folder}/{table.schema}/{table.name}"
    together = max(1, AT_ONCE // max(1, rows.num_rows))
    for begin in range(0, copies, together):
        parts = [copied(rows, copy) for copy in range(begin, min(begin + together, copies))]
        write_deltalake(
            path,
            pa.concat_tables(parts),
            mode="append",
            partition_by=table.partitioned_by,
            storage_options=delta.options("spark"),
        )


def copied(rows: pa.Table, copy: int) -> pa.Table:
    """Return rows under the cards, ids and offsets of a copy; copy 0 is the rows themselves."""
    if not copy:
        return rows
    made: Mapping[str, pa.ChunkedArray] = {
        name: change(rows[name], copy)
        for name, change in (
            ("card_id", _cards),
            ("transaction_id", _ids),
            ("payment_offset", _offsets),
            ("source_offset", _offsets),
        )
        if name in rows.column_names
    }
    for name, column in made.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
    return rows


def _cards(cards: pa.ChunkedArray, copy: int) -> pa.ChunkedArray:
    known = pc.unique(cards)
    others = [hashlib.sha256(f"{card} {copy}".encode()).hexdigest() for card in known.to_pylist()]
    return pa.chunked_array([pa.array(others, cards.type).take(pc.index_in(cards, known).combine_chunks())])


def _ids(ids: pa.ChunkedArray, copy: int) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(ids, pa.scalar(f"~{copy}", ids.type), pa.scalar("", ids.type))


def _offsets(offsets: pa.ChunkedArray, copy: int) -> pa.ChunkedArray:
    return pc.add(offsets, copy * FAR)
