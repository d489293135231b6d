"""What runs in Spark's Python workers: decode a partition's records, send its letters, pass its rows on."""

from collections.abc import Iterator
from functools import cache

import pyarrow as pa
from fastavro.schema import SchemaParseException, UnknownType
from pyspark import Accumulator

from clients import registry
from contracts import schemas
from errors import RejectedError
from streaming import decode, letters


def decoded(
    source: Iterator[pa.RecordBatch], *, table: str, now_us: int, dead_letters: str,
    good: Accumulator[int], refused: Accumulator[int],
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Decode one partition as of `now_us` (UTC microseconds), counting its rows in `good` and letters in `refused`.

    The letters are with Kafka before the rows are passed on, so that no row is committed before its batch's letters.
    Raises UnreachableError when the registry does not answer: then nobody can say whether a record is bad.
    """
    writer = judged(_writers())
    for batch in source:
        rows, written = decode.decode(batch, table, writer, now_us)
        if written:
            letters.send(written, dead_letters)
            refused.add(len(written))
        if rows.num_rows:
            good.add(rows.num_rows)
            yield rows


@cache
def _writers() -> decode.Writer:
    return registry.writers()


def judged(writer: decode.Writer) -> decode.Writer:
    """Return `writer` with its refusals remembered (for one partition of one batch), and one for what is not Avro."""
    refused: dict[int, RejectedError] = {}

    def judge(schema_id: int) -> schemas.Schema:
        if schema_id in refused:
            raise refused[schema_id]
        try:
            return writer(schema_id)
        except RejectedError as error:
            refused[schema_id] = error
            raise
        except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"schema {schema_id} is no Avro schema that stands alone: {type(error).__name__}"
            refused[schema_id] = RejectedError("wrong_schema", reason)
            raise refused[schema_id] from error

    return judge
