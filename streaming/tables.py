"""The Bronze tables, seen through their logs alone: made once, and what they have when a driver starts."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from clients import delta
from contracts.phases import check_columns
from errors import ServerError
from settings import settings
from streaming.columns import PARTITION, bronze_schema, statistics
from streaming.places import TABLES, Flow, Places

NEWEST_COMMITS = 100
KEPT = "interval 30 days"
"""Time travel is promised for as long."""
PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.logRetentionDuration": KEPT,
    "delta.deletedFileRetentionDuration": KEPT,
    # The driver checkpoints when it compacts, in a tenth of Spark's time; this is for when that has failed for long.
    "delta.checkpointInterval": "1000",
}


def ensure_tables(places: Places) -> None:
    """Make the tables that are not there yet, empty, in the oldest protocol (reader 1, writer 2): all can read it.

    A table that was made under an older contract gets the columns that it lacks; they are null in its older rows.
    Raises ContractError when one of its columns was renamed.
    """
    for name in TABLES:
        try:
            DeltaTable.create(
                _address(places, name),
                Schema.from_arrow(bronze_schema(name)),
                mode="ignore",
                partition_by=[PARTITION],
                configuration=PROPERTIES | {"delta.dataSkippingStatsColumns": ",".join(statistics(name))},
                storage_options=delta.options("spark"),
            )
            table = open_table(places, name)
            there = {field.name for field in table.schema().fields}
            check_columns(f"bronze.{name}", there, set(bronze_schema(name).names))
            add_missing(table, bronze_schema(name))
        except (DeltaError, OSError) as error:
            raise ServerError(f"s3: making {_address(places, name)}: {error}") from error


def add_missing(table: DeltaTable, wanted: pa.Schema) -> None:
    """Add to a table the columns of `wanted` that it lacks."""
    there = {field.name for field in table.schema().fields}
    if lacking := [field for field in Schema.from_arrow(wanted).fields if field.name not in there]:
        table.alter.add_columns(lacking)


def newest_us(places: Places) -> int:
    """Return the newest ingested_at of all tables (UTC microseconds), 0 when they are empty."""
    newest = 0
    for name in TABLES:
        files = pa.table(open_table(places, name).get_add_actions(flatten=True))
        for value in files.column("max.ingested_at").to_pylist() if files.num_rows else []:
            newest = max(newest, _microseconds(value))
    return newest


def reached(flow: Flow) -> dict[str, dict[int, int]]:
    """Return, for each topic and partition, the offset after the last one in Bronze."""
    ends: dict[str, dict[int, int]] = {topic: {} for topic in flow.topics}
    for topic, name in flow.topics.items():
        bronze = delta.dataset(open_table(flow.places, name), "spark")  # noqa: F841 - DuckDB finds it by its name
        found = duckdb.execute(
            "select source_partition, max(source_offset) + 1 from bronze where source_topic = ? group by 1", [topic]
        )
        ends[topic] = dict(found.fetchall())
    return ends


def mark(query: str, batch_id: int, topic_id: str) -> str:
    """Return what the commit of a batch says of itself: by it the batch is known when it comes again, and its topic."""
    return json.dumps({"query": query, "batch": batch_id, "topic_id": topic_id})


def landed(places: Places, name: str, query: str) -> int:
    """Return the newest batch of `query` that is in a table, -1 if there is none.

    The newest commit with a mark tells, for the driver alone appends; between two of its commits are at most those of
    a compaction and a vacuum. Delta's own transaction identifiers would also refuse a driver of another machine that
    was frozen between its look at the lease and its commit; but to look them up Spark replays the log with a job at
    each batch, half of a small batch's time.
    """
    marked = _newest_mark(places, name)
    return int(marked["batch"]) if marked.get("query") == query else -1


def made_anew(flow: Flow, topic_ids: Mapping[str, str]) -> list[str]:
    """Return the topics that are not those whose records Bronze has: since then they were deleted and made again."""
    known = {topic: _newest_mark(flow.places, name).get("topic_id") for topic, name in flow.topics.items()}
    return [topic for topic, its_id in topic_ids.items() if known[topic] not in (None, its_id)]


def _newest_mark(places: Places, name: str) -> Mapping[str, Any]:
    for commit in open_table(places, name).history(NEWEST_COMMITS):
        if text := commit.get("userMetadata"):
            marked: Mapping[str, Any] = json.loads(text)
            return marked
    return {}


def open_table(places: Places, name: str) -> DeltaTable:
    """Return a table as its log has it now; ServerError when it cannot be read."""
    try:
        return DeltaTable(_address(places, name), storage_options=delta.options("spark"))
    except (DeltaError, OSError) as error:
        raise ServerError(f"s3: reading the log of {_address(places, name)}: {error}") from error


def _address(places: Places, name: str) -> str:
    return f"s3://{settings().s3_bucket}/{places.table(name)}"


def _microseconds(value: datetime | None) -> int:
    if value is None:
        return 0
    return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000) * 1000
