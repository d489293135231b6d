"""Bronze tables as the stream writes them, from plain records, for tests that need payments at once."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from clients import delta
from contracts import arrow, schemas
from lake.tables import Table

Record = dict[str, Any]


class Bronze:
    """Writes batches to a Bronze table with growing offsets and ingestion times, as one driver does."""

    def __init__(self, table: Table, name: str, topic: str, partitions: int) -> None:
        """Write to `table` records of Avro schema `name`, as if read from `topic`."""
        self.table, self.topic, self.schema = table, topic, arrow.bronze_schema(name)
        self.defaults = schemas.defaults(name)
        self.offsets = [0] * partitions
        self.batch = 0

    def places(self, count: int) -> list[tuple[int, int]]:
        """Return the (partition, offset) at which the next `count` records will stand."""
        spread = len(self.offsets)
        return [(n % spread, self.offsets[n % spread] + n // spread) for n in range(count)]

    def rows(self, records: Sequence[Record], ingested_at: datetime) -> pa.Table:
        """Return `records` as the rows of the next batch."""
        out = []
        for record, (partition, offset) in zip(records, self.places(len(records)), strict=True):
            row = self.defaults | record
            extra = row.get("extra")
            out.append(
                row
                | {
                    "extra": json.dumps(extra) if extra else None,
                    "source_topic": self.topic,
                    "source_partition": partition,
                    "source_offset": offset,
                    "kafka_timestamp": ingested_at,
                    "schema_id": 1,
                    "batch_id": self.batch,
                    "ingested_at": ingested_at,
                    "ingested_date": ingested_at.date(),
                }
            )
            self.offsets[partition] = offset + 1
        self.batch += 1
        return pa.Table.from_pylist(out, schema=self.schema)

    def append(self, records: Sequence[Record], ingested_at: datetime | None = None) -> None:
        """Append `records` as one batch."""
        moment = ingested_at or datetime.now(UTC)
        write_deltalake(
            self.table.path,
            self.rows(records, moment),
            mode="append",
            partition_by=["ingested_date"],
            storage_options=delta.options("spark"),
        )
