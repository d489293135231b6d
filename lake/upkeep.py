"""Upkeep of the tables that Trino owns: retention told to every engine, small files compacted, old ones removed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from clients import delta, trino
from errors import InputError, SettingsError
from lake import catalog, reading
from lake.tables import Table, schema_name
from settings import settings

KEPT_DAYS = 30
"""Time travel is promised for as long."""
OWNED = ("silver", "gold", "ops")
"""Schemas that Trino writes; Bronze is kept by the stream's driver (streaming/maintenance.py)."""
RETENTION = {
    "delta.logRetentionDuration": f"interval {KEPT_DAYS} days",
    "delta.deletedFileRetentionDuration": f"interval {KEPT_DAYS} days",
}
MANY_FILES = 4
"""A partition with fewer small files is left alone."""
SMALL_FILE = 1 << 20
"""Bytes; the files of a full build, which hold few days each, are larger."""
PARTITIONS_AT_ONCE = 200


@dataclass(frozen=True)
class Upkeep:
    """What was done to one table."""

    table: Table
    retention_set: bool
    partitions_compacted: int
    files_before: int
    files_after: int


def keep(days: int = KEPT_DAYS) -> Iterator[Upkeep]:
    """Set retention, compact and vacuum each table that Trino owns, one after the other.

    Files that left a table more than `days` ago are removed. Raises InputError for fewer days than are promised,
    SettingsError without Trino's storage key, and the errors of Trino and the storage.
    """
    if days < KEPT_DAYS:
        raise InputError(
            f"{days} days are fewer than the {KEPT_DAYS} of time travel that are promised: give more, or none"
        )
    for table in catalog.tables_in_bucket():
        if table.schema in OWNED:
            yield _keep(table, days)


def _keep(table: Table, days: int) -> Upkeep:
    opened = reading.open_table(table)
    files = len(opened.file_uris())
    lacking = {name: value for name, value in RETENTION.items() if opened.metadata().configuration.get(name) != value}
    if lacking:
        _set(table, lacking)
    crowded = _crowded(opened)
    name = f"{trino.CATALOG}.{table.sql_name}"
    for start in range(0, len(crowded), PARTITIONS_AT_ONCE):
        conditions = [condition for condition in crowded[start : start + PARTITIONS_AT_ONCE] if condition]
        where = f" where {' or '.join(conditions)}" if conditions else ""
        trino.query(f"alter table {name} execute optimize(file_size_threshold => '{SMALL_FILE}B'){where}")
    arguments = (schema_name(table.schema), table.name, f"{days}d")
    trino.query(f"call {trino.CATALOG}.system.vacuum({', '.join(map(trino.literal, arguments))})")
    after = len(reading.open_table(table).file_uris()) if crowded else files
    return Upkeep(table, bool(lacking), len(crowded), files, after)


def _crowded(opened: DeltaTable) -> list[str | None]:
    """Return a condition for each partition with many small files (None: the whole of a table without partitions).

    Told by the log alone, since Trino 476 commits a version even when OPTIMIZE finds nothing to do.
    """
    columns = opened.metadata().partition_columns
    files = pa.table(opened.get_add_actions(flatten=True))
    small = Counter(
        tuple(row[f"partition.{column}"] for column in columns)
        for row in files.to_pylist()
        if row["size_bytes"] < SMALL_FILE
    )
    return [_condition(columns, values) for values, count in sorted(small.items(), key=str) if count >= MANY_FILES]


def _condition(columns: list[str], values: tuple[object, ...]) -> str | None:
    parts = []
    for column, value in zip(columns, values, strict=True):
        text = trino.literal(str(value))
        equals = "is null" if value is None else f"= date {text}" if isinstance(value, date) else f"= {text}"
        parts.append(f"{trino.identifier(column)} {equals}")
    return f"({' and '.join(parts)})" if parts else None


def _set(table: Table, properties: dict[str, str]) -> None:
    # Trino 476 cannot. One commit of metadata, with Trino's own key; of two who commit at once one is refused.
    if not settings().s3_trino_access_key:
        raise SettingsError("S3_TRINO_ACCESS_KEY is not set: upkeep writes with Trino's storage key, where Trino runs")
    try:
        DeltaTable(table.path, storage_options=delta.options("trino")).alter.set_table_properties(properties)
    except (DeltaError, OSError) as error:
        raise reading.mapped(error, table) from error
