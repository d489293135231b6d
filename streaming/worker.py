"""What runs in Spark's Python workers: decode a partition's records, send its letters, pass its rows on."""

from collections.abc import Callable, Iterator
from functools import cache, partial

import pyarrow as pa
from fastavro.schema import SchemaParseException, UnknownType
from pyspark import Accumulator

from clients import registry
from contracts import schemas
from errors import RejectedError
from streaming import decode, letters


def decoded(
    source: Iterator[pa.RecordBatch], *, table: str, now_us: int, dead_letters: str, good: Accumulator[int]
) -> Iterator[pa.RecordBatch]:
    """Decode one partition as of `now_us` (UTC microseconds), counting its rows in `good`.

    The letters are with Kafka before the rows are passed on, so that no row is committed before its batch's letters.
    Raises UnreachableError when the registry does not answer: then nobody can say whether a record is bad.
    """
    send = partial(letters.send, topic=dead_letters)
    for batch in decode.batches(source, table, judged(_writers()), now_us, send):
        good.add(batch.num_rows)
        yield batch


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


Decoder = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
