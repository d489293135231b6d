"""Keeps the Bronze tables in order from inside the driver: small files compacted, files past time travel removed."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from delta.tables import DeltaTable as SparkTable
from deltalake import PostCommitHookProperties
from deltalake.exceptions import DeltaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from errors import LakehouseError
from streaming import tables
from streaming.columns import PARTITION
from streaming.lease import Lease
from streaming.places import TABLES, Flow, Places, spark_path
from streaming.status import Board

KEPT_HOURS = 30 * 24.0
"""Time travel is promised for as long."""
VACUUM_EVERY = timedelta(days=1)
LARGEST_FILE = 16 << 20
"""Bytes. Files of this size are left alone: bounded work, however long a day's partition grows."""
log = logging.getLogger("bronze")


class Keeper:
    """Compacts after every so many batches of a flow, between two of them; vacuums once a day, in a thread."""

    def __init__(self, spark: SparkSession, places: Places, lease: Lease, board: Board, every: int) -> None:
        self.spark, self.places, self.lease, self.board, self.every = spark, places, lease, board, every
        self._since = dict.fromkeys((flow.name for flow in places.flows), 0)
        self._due = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._vacuum, name="vacuum", daemon=True)

    def landed(self, flow: Flow) -> None:
        """Count a landed batch of a flow, before its next begins; after every so many there is work on its tables."""
        self._since[flow.name] += 1
        if self._since[flow.name] < self.every:
            return
        self._since[flow.name] = 0
        for table in flow.topics.values():
            try:
                self.lease.check()
                removed, added = compact(self.places, table)
            except (DeltaError, OSError, LakehouseError) as error:
                log.warning("compaction put off, %s is as it was: %s", table, " ".join(str(error).split())[:300])
            else:
                if removed:
                    log.info("compacted %s: %d files into %d", table, removed, added)
        self._due.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._due.set()
        self._thread.join(60)

    def _vacuum(self) -> None:
        while self._due.wait() and not self._end.is_set():
            self._due.clear()
            last = self.board.now.last_vacuum_at
            if last is not None and datetime.now(UTC) - datetime.fromisoformat(last) < VACUUM_EVERY:
                continue
            try:
                self.lease.check()
                for table in TABLES:
                    SparkTable.forPath(self.spark, spark_path(self.places.table(table))).vacuum(KEPT_HOURS)
                    tables.open_table(self.places, table).cleanup_metadata()
            except (PySparkException, DeltaError, OSError, LakehouseError) as error:
                log.warning("vacuum put off: %s", " ".join(str(error).split())[:300])
            else:
                self.board.now.last_vacuum_at = datetime.now(UTC).isoformat(timespec="seconds")
                log.info("vacuumed files that left the tables more than %.0f hours ago", KEPT_HOURS)


def compact(places: Places, table: str) -> tuple[int, int]:
    """Compact the small files of yesterday and today and checkpoint the log; returns (files removed, files added).

    By delta-rs: .3 s for 120 files, where Spark's OPTIMIZE took most of a minute from the batches beside it, and its
    checkpoint three seconds. The caller sees to it that no batch commits meanwhile, for Spark's log store does not
    notice another writer.
    """
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    found = tables.open_table(places, table)
    done = found.optimize.compact(
        [(PARTITION, ">=", yesterday.isoformat())],
        target_size=LARGEST_FILE,
        post_commithook_properties=PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False),
    )
    found.create_checkpoint()
    return int(done["numFilesRemoved"]), int(done["numFilesAdded"])
