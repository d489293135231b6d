"""Finds the records of a payment's decisions in Bronze, each decision once."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from contracts import schemas
from lake import reading

Record = dict[str, Any]
PLACES = ("ingested_date", "decided_at")
"""Columns with statistics per file: found by the id first, they spare reading all other records' long columns."""
STATISTIC = timedelta(milliseconds=1)
"""A file's statistics of times are cut to milliseconds."""
TIMES = ("event_time", "decided_at")
EACH_TIME = frozenset({"decided_at", "stages_us", "trace_id", "groups"})
"""What may differ between two records of one and the same decision."""


def find(table: DeltaTable, transaction_id: str, source: str | None = None) -> list[Record]:
    """Return the records of a payment's decisions, as in contracts/decision.avsc."""
    wanted: reading.Filters = [("transaction_id", "=", transaction_id)]
    if source is not None:
        wanted.append(("source", "=", source))
    places = reading.read(table, PLACES, wanted)
    if not places.num_rows:
        return []
    days, moments = (set(places[name].to_pylist()) for name in PLACES)
    wanted += [
        ("ingested_date", "in", sorted(days)),
        ("decided_at", ">=", min(moments) - STATISTIC),
        ("decided_at", "<=", max(moments) + STATISTIC),
    ]
    found = reading.read(table, list(schemas.defaults("decision")), wanted)
    for name in TIMES:
        found = found.set_column(found.column_names.index(name), name, found[name].cast(pa.int64()))
    records: list[Record] = found.to_pylist()
    return records


def distinct(records: Iterable[Record]) -> list[tuple[Record, int]]:
    """Return each decision's newest record and how often it was recorded, newest last."""
    kept: dict[tuple[Any, ...], tuple[Record, int]] = {}
    for record in sorted(records, key=lambda each: each["decided_at"]):
        same = tuple(value for name, value in sorted(record.items()) if name not in EACH_TIME)
        kept[same] = (record, kept.pop(same, (record, 0))[1] + 1)  # popped, so that it stands last again
    return list(kept.values())
