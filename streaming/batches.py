"""Lands a micro-batch in Bronze: one append per table, each at most once however often the batch is repeated."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from pyspark import Accumulator
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from errors import LakehouseError
from streaming import offsets, worker
from streaming.columns import PARTITION, decoded_schema, sql
from streaming.lease import Lease
from streaming.places import TABLES, Places, spark_path
from streaming.status import Board

SMALL = 5_000
"""Records. Up to here one task is faster than two, and leaves one file instead of two."""


@dataclass(frozen=True)
class Landed:
    """The newest batch that Bronze has: its ingestion time (UTC microseconds) and its number under this checkpoint."""

    ingested_us: int = 0
    batch_id: int = -1

    def next(self, batch_id: int, planned_ms: int) -> "Landed":
        """Return what a batch planned at `planned_ms` gets: the same again for a repeated one, else a later time."""
        if batch_id == self.batch_id:
            return self
        return Landed(max(planned_ms * 1000, self.ingested_us + 1000), batch_id)

    def under_new_checkpoint(self) -> "Landed":
        """Return the same time without its number: batches are numbered from 0 again."""
        return Landed(self.ingested_us)


@dataclass
class Lander:
    """The function that foreachBatch calls, with what it has to remember between batches."""

    spark: SparkSession
    places: Places
    lease: Lease
    board: Board
    begin: offsets.Offsets
    landed: Landed
    good: Mapping[str, Accumulator[int]] = field(init=False)
    app_id: str = ""
    after: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.good = {table: self.spark.sparkContext.accumulator(0) for table in TABLES}

    def __call__(self, frame: DataFrame, batch_id: int) -> None:
        """Land a batch; raises when it cannot be, and then the query repeats it with the same offsets and clock."""
        started = time.monotonic()
        plan = offsets.planned(self.places, batch_id)
        if plan is None:
            raise LakehouseError(f"{self.places.checkpoint}: batch {batch_id} has no plan; was the checkpoint deleted?")
        self.app_id = self.app_id or offsets.query_id(self.places)
        before = offsets.planned(self.places, batch_id - 1) if batch_id else None
        counts = offsets.counted(before.ends if before else self.begin, plan.ends)
        good_before = self._good()
        self.landed = self.landed.next(batch_id, plan.time_ms)
        for topic, table in self.places.topics.items():
            if counts.get(topic):
                self.lease.check()
                self._append(frame, topic, table, counts[topic], plan.time_ms * 1000)
        rows, good = sum(counts.values()), self._good() - good_before
        self.board.batch(batch_id, rows, good, time.monotonic() - started)
        self.after()

    def _append(self, frame: DataFrame, topic: str, table: str, records: int, now_us: int) -> None:
        decode = partial(
            worker.decoded, table=table, now_us=now_us, dead_letters=self.places.dead_letters, good=self.good[table]
        )
        rows = (
            frame.where(f.col("topic") == topic)
            .coalesce(1 if records <= SMALL else 2)
            .mapInArrow(decode, StructType.fromDDL(sql(decoded_schema(table))))
            .withColumns(self._constants(topic))
        )
        (
            rows.write.format("delta")
            .mode("append")
            .partitionBy(PARTITION)
            .option("txnAppId", self.app_id)
            .option("txnVersion", self.landed.batch_id)
            .save(spark_path(self.places.table(table)))
        )

    def _constants(self, topic: str) -> dict[str, Column]:
        moment = datetime.fromtimestamp(self.landed.ingested_us / 1e6, UTC)
        return {
            "source_topic": f.lit(topic),
            "batch_id": f.lit(self.landed.batch_id).cast("bigint"),
            "ingested_at": f.timestamp_micros(f.lit(self.landed.ingested_us)),
            "ingested_date": f.lit(moment.date()),
        }

    def _good(self) -> int:
        return sum(accumulator.value for accumulator in self.good.values())
