"""The contract's records as Arrow columns, and the columns that landing adds: what a row of Bronze is."""

import json
from functools import cache
from typing import Any

import pyarrow as pa

from contracts import schemas

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


@cache
def record_schema(name: str) -> pa.Schema:
    """Return the fields of schema `name` (transaction, label, decision): enums as text, times in UTC, all nullable."""
    avro = json.loads(schemas.text(name))
    return pa.schema([pa.field(field["name"], _arrow_type(field["type"])) for field in avro["fields"]])


@cache
def decoded_schema(name: str) -> pa.Schema:
    """Return what decoding gives: the contract's fields, `extra` (JSON) and where the record came from."""
    return pa.schema([*record_schema(name), pa.field("extra", pa.string()), *SOURCE])


@cache
def bronze_schema(name: str) -> pa.Schema:
    """Return every column of the Bronze table of schema `name`."""
    return pa.schema([*decoded_schema(name), *BATCH])


def _arrow_type(avro: Any) -> pa.DataType:
    if isinstance(avro, list):
        (avro,) = [branch for branch in avro if branch != "null"]
    if isinstance(avro, dict):
        avro = avro.get("logicalType") or avro["type"]
    return AVRO_TO_ARROW[avro]
