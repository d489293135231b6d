"""Keeps the Bronze tables in order from inside the driver: small files compacted, files past time travel removed."""

import logging
import queue
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from delta.tables import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from errors import LakehouseError
from streaming.columns import PARTITION
from streaming.lease import Lease
from streaming.places import TABLES, Places, spark_path
from streaming.status import Board

KEPT_HOURS = 30 * 24.0
"""Time travel is promised for as long."""
VACUUM_EVERY = timedelta(days=1)
log = logging.getLogger("bronze")


class Keeper:
    """A thread that compacts after every so many batches, beside the query; Delta lets appends pass."""

    def __init__(self, spark: SparkSession, places: Places, lease: Lease, board: Board, every: int) -> None:
        self.spark, self.places, self.lease, self.board, self.every = spark, places, lease, board, every
        self._since = 0
        self._work: queue.Queue[bool] = queue.Queue()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def landed(self) -> None:
        """Count a landed batch; every so many, there is work."""
        self._since += 1
        if self._since >= self.every and self._work.empty():
            self._since = 0
            self._work.put(True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.put(False)
        self._thread.join(60)

    def _keep(self) -> None:
        while self._work.get():
            try:
                self.lease.check()
                for table in TABLES:
                    removed, added = compact(self.spark, self.places, table)
                    if removed:
                        log.info("compacted %s: %d files into %d", table, removed, added)
                if self._vacuum_is_due():
                    for table in TABLES:
                        DeltaTable.forPath(self.spark, spark_path(self.places.table(table))).vacuum(KEPT_HOURS)
                    self.board.now.last_vacuum_at = datetime.now(UTC).isoformat(timespec="seconds")
                    log.info("vacuumed files that left the tables more than %.0f hours ago", KEPT_HOURS)
            except (PySparkException, LakehouseError) as error:
                log.warning("maintenance put off, the tables are as they were: %s", " ".join(str(error).split())[:300])

    def _vacuum_is_due(self) -> bool:
        last = self.board.now.last_vacuum_at
        return last is None or datetime.now(UTC) - datetime.fromisoformat(last) > VACUUM_EVERY


def compact(spark: SparkSession, places: Places, table: str) -> tuple[int, int]:
    """Compact the small files of yesterday and today; returns (files removed, files added)."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    optimized = DeltaTable.forPath(spark, spark_path(places.table(table))).optimize()
    row = optimized.where(f"{PARTITION} >= '{yesterday}'").executeCompaction().first()
    return (int(row.metrics.numFilesRemoved), int(row.metrics.numFilesAdded)) if row else (0, 0)
