"""The columns of the Bronze tables by the tables' names, as Spark and the log's statistics take them."""

import pyarrow as pa

from contracts import arrow
from contracts.arrow import BATCH, SOURCE, TIMESTAMP
from streaming.places import TABLES

__all__ = ["BATCH", "PARTITION", "SOURCE", "TIMESTAMP", "bronze_schema", "decoded_schema", "record_schema"]
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


def record_schema(table: str) -> pa.Schema:
    """Return the contract's fields of a table."""
    return arrow.record_schema(TABLES[table])


def decoded_schema(table: str) -> pa.Schema:
    """Return what decoding gives for a table: the contract's fields, `extra` and where the record came from."""
    return arrow.decoded_schema(TABLES[table])


def bronze_schema(table: str) -> pa.Schema:
    """Return every column of a Bronze table."""
    return arrow.bronze_schema(TABLES[table])


def statistics(table: str) -> list[str]:
    """Return the columns with minimum and maximum kept per file: those that readers filter on."""
    own = [field.name for field in record_schema(table) if field.type == TIMESTAMP or field.name in PAYMENT]
    return [*own, "source_partition", "source_offset", "ingested_at"]


def sql(schema: pa.Schema) -> str:
    """Return a schema as the column list of Spark SQL."""
    return ", ".join(f"`{field.name}` {SQL_TYPES[field.type]}" for field in schema)
