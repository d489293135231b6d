"""What runs in Spark's Python workers: decode a partition's records, send its letters, pass its rows on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import pyarrow as pa
from pyspark import Accumulator

from clients import registry
from contracts.topics import TOPICS
from contracts.wire import Writer
from streaming import decode, letters
from streaming.columns import BATCH, bronze_schema


@dataclass(frozen=True)
class Task:
    """What one append does: its topic (and that without a namespace), its table, where its letters go, its batch.

    `planned_us` is the time of its letters, the same however often the batch is repeated; `ingested_us` is the rows'
    ingestion time. Both are UTC microseconds.
    """

    topic: str
    contract: str
    table: str
    dead_letters: str
    batch_id: int
    planned_us: int
    ingested_us: int

    def stamp(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Add the batch's columns. As constants in Spark's plan they would make it compile new code for each batch."""
        moment = datetime.fromtimestamp(self.ingested_us / 1e6, UTC)
        values = (self.topic, self.batch_id, self.ingested_us, moment.date())
        added = [pa.repeat(pa.scalar(v, f.type), rows.num_rows) for v, f in zip(values, BATCH, strict=True)]
        return pa.RecordBatch.from_arrays([*rows.columns, *added], schema=bronze_schema(self.table))


def decoded(
    source: Iterator[pa.RecordBatch], task: Task, good: Accumulator[int], refused: Accumulator[int]
) -> Iterator[pa.RecordBatch]:
    """Decode one partition into rows of Bronze, counting them in `good` and the letters in `refused`.

    The letters are with Kafka before the rows are passed on, so that no row is committed before its batch's letters.
    Raises UnreachableError when the registry does not answer: then nobody can say whether a record is bad.
    """
    writer = _writers(task.contract, task.topic)
    for batch in source:
        rows, written = decode.decode(batch, task.table, writer, task.planned_us)
        if written:
            letters.send(written, task.dead_letters)
            refused.add(len(written))
        if rows.num_rows:
            good.add(rows.num_rows)
            yield task.stamp(rows)


@cache
def _writers(contract: str, topic: str) -> Writer:
    also = [] if topic == contract else [f"{topic}-value"]
    return registry.writers(*(each for each in TOPICS if each.name == contract), also=also)
