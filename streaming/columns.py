"""The columns of the Bronze tables, derived from the contract's Avro schemas."""

import json
from functools import cache
from typing import Any

import pyarrow as pa

from contracts import schemas
from streaming.places import TABLES

TIMESTAMP = pa.timestamp("us", "UTC")
AVRO_TO_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "enum": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
    "timestamp-micros": TIMESTAMP,
}
SOURCE = (
    pa.field("source_partition", pa.int32()),
    pa.field("source_offset", pa.int64()),
    pa.field("kafka_timestamp", TIMESTAMP),
    pa.field("schema_id", pa.int32()),
)
"""Where on Kafka a row comes from; decoding knows it."""
BATCH = (
    pa.field("source_topic", pa.string()),
    pa.field("batch_id", pa.int64()),
    pa.field("ingested_at", TIMESTAMP),
    pa.field("ingested_date", pa.date32()),
)
"""One value a batch; Spark adds them as constants."""
PARTITION = "ingested_date"
PAYMENT = ("payment_partition", "payment_offset")
"""By these a decision is found from its payment."""
SQL_TYPES = {
    pa.string(): "STRING",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BINARY",
    TIMESTAMP: "TIMESTAMP",
    pa.date32(): "DATE",
}


@cache
def record_schema(table: str) -> pa.Schema:
    """Return the contract's fields of a table: enums as text, timestamps in UTC, everything nullable."""
    avro = json.loads(schemas.text(TABLES[table]))
    return pa.schema([pa.field(field["name"], _arrow_type(field["type"])) for field in avro["fields"]])


@cache
def decoded_schema(table: str) -> pa.Schema:
    """Return what decoding gives: the contract's fields, `extra` (JSON) and where the record came from."""
    return pa.schema([*record_schema(table), pa.field("extra", pa.string()), *SOURCE])


@cache
def bronze_schema(table: str) -> pa.Schema:
    """Return every column of a Bronze table."""
    return pa.schema([*decoded_schema(table), *BATCH])


def statistics(table: str) -> list[str]:
    """Return the columns with minimum and maximum kept per file: those that readers filter on."""
    own = [field.name for field in record_schema(table) if field.type == TIMESTAMP or field.name in PAYMENT]
    return [*own, "source_partition", "source_offset", "ingested_at"]


def sql(schema: pa.Schema) -> str:
    """Return a schema as the column list of Spark SQL."""
    return ", ".join(f"`{field.name}` {SQL_TYPES[field.type]}" for field in schema)


def _arrow_type(avro: Any) -> pa.DataType:
    if isinstance(avro, list):
        (avro,) = [branch for branch in avro if branch != "null"]
    if isinstance(avro, dict):
        avro = avro.get("logicalType") or avro["type"]
    return AVRO_TO_ARROW[avro]
