"""From framed Avro to Arrow columns: each record is decoded by its writer's schema, judged, and kept or refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from contracts import validation, wire
from contracts.deadletter import Context, Stage
from contracts.partitioning import check_place
from contracts.topics import TRANSACTIONS
from errors import RejectedError
from streaming.columns import TIMESTAMP, decoded_schema, record_schema
from streaming.places import TABLES

CONTRACT_CODES = frozenset({"missing_field", "wrong_type", "wrong_schema"})
"""Refusals that come of the sender's schema, as after a field was renamed, and not of one record."""


@dataclass(frozen=True)
class Letter:
    """One refused record: key and bytes as they came, and why."""

    key: bytes | None
    value: bytes | None
    context: Context


@dataclass
class _Kept:
    """The good records of one Arrow batch, with the row of the input that each came from."""

    records: list[wire.Record] = field(default_factory=list)
    schema_ids: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def drop(self, positions: set[int]) -> None:
        """Take out the records at `positions`."""
        left = [position for position in range(len(self.rows)) if position not in positions]
        self.records = [self.records[position] for position in left]
        self.schema_ids = [self.schema_ids[position] for position in left]
        self.rows = [self.rows[position] for position in left]


def decode(batch: pa.RecordBatch, table: str, writer: wire.Writer, now_us: int) -> tuple[pa.RecordBatch, list[Letter]]:
    """Decode the Kafka records of one topic and judge each at its arrival, which is Kafka's timestamp.

    `batch` has topic, partition, offset, timestamp, key, value; `writer` as in contracts.wire.decode. Returns the good
    rows by columns.decoded_schema, in their order, and a letter of the time `now_us` (UTC us) for each refused record.
    """
    name = TABLES[table]
    check = validation.CHECKS[name]
    kept, letters = _Kept(), _Letters(batch, now_us // 1000)
    decode_one, keep, keep_id, keep_row = wire.decode, kept.records.append, kept.schema_ids.append, kept.rows.append
    is_payment = name == TRANSACTIONS.schema
    arrived = batch.column("timestamp").cast(TIMESTAMP).cast(pa.int64()).to_pylist()
    keys, partitions, values = (batch.column(column).to_pylist() for column in ("key", "partition", "value"))
    for row, value in enumerate(values):
        schema_id = None
        try:
            schema_id, record = decode_one(value, writer, name)
            check(record, arrived[row])
            if is_payment:
                check_place(record, keys[row], partitions[row])
        except RejectedError as error:
            letters.add(row, error, schema_id)
            continue
        keep(record)
        keep_id(schema_id)
        keep_row(row)
    return _arrow(batch, table, kept, letters), letters.written


class _Letters:
    """The letters of one Arrow batch."""

    def __init__(self, batch: pa.RecordBatch, time_ms: int) -> None:
        self.batch = batch
        self.time_ms = time_ms
        self.written: list[Letter] = []

    def add(self, row: int, error: RejectedError, schema_id: int | None) -> None:
        """Write the letter of the input's `row`."""
        found = self.batch.slice(row, 1).to_pylist()[0]
        if schema_id is None and found["value"] and error.code not in ("oversized", "bad_magic_byte"):
            schema_id = int.from_bytes(found["value"][1:5], "big") if len(found["value"]) >= wire.HEADER.size else None
        context = Context(
            Stage.BRONZE,
            error.code,
            _with_contract(error, found["topic"]),
            self.time_ms,
            source_topic=found["topic"],
            source_partition=found["partition"],
            source_offset=found["offset"],
            schema_id=schema_id,
        )
        self.written.append(Letter(found["key"], found["value"], context))


def _with_contract(error: RejectedError, topic: str) -> str:
    """Return the reason, with the contract's name where the record lacks or mistypes what the contract promises."""
    return f"contract {topic}: {error.reason}" if error.code in CONTRACT_CODES else error.reason


def _arrow(batch: pa.RecordBatch, table: str, kept: _Kept, letters: _Letters) -> pa.RecordBatch:
    try:
        columns = _columns(table, kept.records)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # A writer's schema of its own may hold a type that the rules do not look at: find the record, keep the others.
        positions = set()
        for position, record in enumerate(kept.records):
            try:
                _columns(table, [record])
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                refusal = RejectedError("wrong_type", f"a field does not fit its column: {error}")
                letters.add(kept.rows[position], refusal, kept.schema_ids[position])
                positions.add(position)
        kept.drop(positions)
        columns = _columns(table, kept.records)
    source = batch.take(pa.array(kept.rows, pa.int64())) if len(kept.rows) < batch.num_rows else batch
    columns += [
        source.column("partition"),
        source.column("offset"),
        source.column("timestamp").cast(TIMESTAMP),
        pa.array(kept.schema_ids, pa.int32()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=decoded_schema(table))


def _columns(table: str, records: Sequence[wire.Record]) -> list[pa.Array]:
    columns = [pa.array([record[f.name] for record in records], f.type) for f in record_schema(table)]
    if any("extra" in record for record in records):
        extra: list[str | None] = [_json(record.get("extra")) for record in records]
        return [*columns, pa.array(extra, pa.string())]
    return [*columns, pa.nulls(len(records), pa.string())]


def _json(extra: dict[str, Any] | None) -> str | None:
    if extra is None:
        return None
    return orjson.dumps(extra, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
