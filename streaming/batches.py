"""Lands a flow's micro-batch in Bronze: one append per table, each at most once however often the batch is repeated."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from pyspark import Accumulator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from contracts.phases import refused_too_many
from errors import LakehouseError
from streaming import offsets, tables
from streaming.columns import PARTITION, bronze_schema, sql
from streaming.lease import Lease
from streaming.places import Flow, spark_path
from streaming.status import Board
from streaming.worker import Task, decoded

SMALL = 20_000
"""Records. Up to here one task is faster than two, and leaves one file instead of two."""


@dataclass
class Lander:
    """The function that foreachBatch calls, with what it has to remember between batches."""

    spark: SparkSession
    flow: Flow
    lease: Lease
    board: Board
    begin: offsets.Offsets
    ingested_us: int
    """The newest ingestion time in Bronze (UTC microseconds); a batch always gets a later one."""
    topic_ids: Mapping[str, str]
    """Topic to the id that Kafka gave it."""
    landed: int = 0
    good: Accumulator[int] = field(init=False)
    refused: Accumulator[int] = field(init=False)
    done: dict[str, int] | None = None
    """The newest batch of this query in each of the flow's tables; None: to be looked up, for nobody knows."""
    query: str = ""
    after: Callable[[], None] = lambda: None
    idle: Lock = field(default_factory=Lock)
    """Held while a batch lands."""
    ending: bool = False
    """No batch may begin any more."""

    def __post_init__(self) -> None:
        self.good = self.spark.sparkContext.accumulator(0)
        self.refused = self.spark.sparkContext.accumulator(0)

    def __call__(self, frame: DataFrame, batch_id: int) -> None:
        """Land a batch; raises when it cannot be, and then the query repeats it with the same offsets and clock."""
        with self.idle:
            if self.ending:
                raise LakehouseError("the driver stops; the next one begins with this batch")
            self._land(frame, batch_id)

    def _land(self, frame: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        plan = offsets.planned(self.flow, batch_id)
        if plan is None:
            raise LakehouseError(f"{self.flow.checkpoint}: batch {batch_id} has no plan; was the checkpoint deleted?")
        if self.done is None:
            self.query = offsets.query_id(self.flow)
            self.done = {t: tables.landed(self.flow.places, t, self.query) for t in self.flow.topics.values()}
        before = offsets.planned(self.flow, batch_id - 1) if batch_id else None
        counts = offsets.counted(before.ends if before else self.begin, plan.ends)
        good, refused = self.good.value, self.refused.value
        broken: list[str] = []
        self.ingested_us = max(plan.time_ms * 1000, self.ingested_us + 1000)
        for topic, table in self.flow.topics.items():
            if counts.get(topic) and self.done[table] < batch_id:
                self.lease.check()
                contract = self.flow.places.contract(topic)
                dead_letters = self.flow.places.dead_letters
                task = Task(topic, contract, table, dead_letters, batch_id, plan.time_ms * 1000, self.ingested_us)
                before_it = self.refused.value
                self._append(frame, task, counts[topic])
                self.done[table] = batch_id
                refusals = self.refused.value - before_it
                broken.append(refused_too_many(contract, refusals, counts[topic]))
        rows, seconds = sum(counts.values()), time.monotonic() - started
        self.board.batch(self.flow.name, batch_id, rows, self.good.value - good, self.refused.value - refused, seconds)
        if any(broken):
            self.board.say("running", "; ".join(filter(None, broken)))
        self.landed += 1
        self.after()

    def _append(self, frame: DataFrame, task: Task, records: int) -> None:
        rows = (
            frame.where(f.col("topic") == task.topic)
            .coalesce(1 if records <= SMALL else 2)
            .mapInArrow(
                partial(decoded, task=task, good=self.good, refused=self.refused), sql(bronze_schema(task.table))
            )
        )
        (
            rows.write.format("delta")
            .mode("append")
            .partitionBy(PARTITION)
            .option("userMetadata", tables.mark(self.query, task.batch_id, self.topic_ids[task.topic]))
            .save(spark_path(self.flow.places.table(task.table)))
        )
