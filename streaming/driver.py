"""The Bronze driver: one lease, one Spark session, one query a flow that is started again after an outage."""

import json
import logging
import re
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from clients import kafka, s3
from errors import LakehouseError, ServerError
from lake import card_key
from settings import settings
from streaming import offsets, tables
from streaming.batches import Lander
from streaming.lease import Lease, held
from streaming.maintenance import Keeper
from streaming.places import Flow, Places, spark_path
from streaming.session import open_session
from streaming.status import Board

PATIENCE = 8
"""Starts of the query in a row that land nothing before the driver gives up (and its supervisor starts another)."""
LONGEST_PAUSE_S = 20.0
LOOK_S = 0.5
LONGEST_BATCH_S = 20.0
log = logging.getLogger("bronze")


@dataclass(frozen=True)
class Options:
    """How one driver runs: seconds between batches, most offsets in one, batches between two compactions."""

    places: Places
    once: bool = False
    trigger_s: float = 1.0
    largest: int = 100_000
    compact_every: int = 60
    accept_data_loss: bool = False


class DataLossError(LakehouseError):
    """Kafka no longer has records that Bronze has not read."""


def run(options: Options) -> None:
    """Land records until told to stop (SIGTERM, SIGINT), or with `once` until all that is there now has landed.

    Raises LeaseHeldError when another driver writes Bronze, DataLossError when Kafka has let go of unread records,
    ServerError when a server stays away.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    board = Board(options.places.status_file)
    try:
        with held(options.places.lease) as lease:
            card_key.claim()
            board.say("starting", "opening Spark")
            spark, jvm_pid = open_session(f"bronze {options.places.namespace}".strip().replace(" ", "-"))
            lease.name_jvm(jvm_pid)
            _land(options, spark, lease, board, stop)
            board.say("stopped")
            spark.stop()
    except LakehouseError as error:
        board.say("failed", str(error))
        raise


def _land(options: Options, spark: SparkSession, lease: Lease, board: Board, stop: threading.Event) -> None:
    for flow in options.places.flows:
        _check(flow)
    tables.ensure_tables(options.places)
    landers = [_lander(options, spark, lease, board, flow) for flow in options.places.flows]
    with Keeper(spark, options.places, lease, board, options.compact_every) as keeper, ThreadPoolExecutor() as threads:
        running = []
        for lander in landers:
            lander.after = partial(keeper.landed, lander.flow)
            running.append(threads.submit(_follow, options, spark, lander, board, stop))
        wait(running, return_when=FIRST_EXCEPTION)
        stop.set()
        for each in running:
            each.result()


def _follow(options: Options, spark: SparkSession, lander: Lander, board: Board, stop: threading.Event) -> None:
    """Run the query of one flow, again after each failure that may pass."""
    failures, last = 0, lander.landed
    while not stop.is_set():
        lander.done = None
        query = _start(options, spark, lander)
        board.say("running")
        try:
            _watch(query, lander, board, stop)
            break
        except PySparkException as error:
            reason = _reason(error)
            if _lost_data(str(error)):
                raise DataLossError(_advice(reason)) from error
            failures = failures + 1 if lander.landed == last else 1
            last = lander.landed
            if failures >= PATIENCE:
                raise ServerError(f"{failures} attempts landed nothing; the last one failed: {reason}") from error
            if failures == 1:
                log.warning("a batch failed: %s", str(error)[:4000])
            pause = min(2.0 ** (failures - 1), LONGEST_PAUSE_S)
            board.say("waiting", f"{reason}; trying again in {pause:.0f} s, nothing is lost")
            stop.wait(pause)


def _check(flow: Flow) -> None:
    """Refuse a checkpoint that has passed the records of a table which is gone: they would be missed for ever."""
    begun = offsets.newest(flow) is not None
    for table in map(flow.places.table, flow.topics.values()):
        if begun and not s3.exists(f"{table}/_delta_log/", "spark"):
            raise LakehouseError(
                f"the checkpoint {flow.checkpoint} goes on, but its table {table} is gone. "
                "Restore the table, or delete the checkpoint to read again what Kafka still has."
            )


def _lander(options: Options, spark: SparkSession, lease: Lease, board: Board, flow: Flow) -> Lander:
    topic_ids = {topic: kafka.topic_id(topic) for topic in flow.topics}
    anew = tables.made_anew(flow, topic_ids)
    if anew and not options.accept_data_loss:
        raise DataLossError(_other_topic(anew))
    if anew:
        offsets.forget(flow)  # it counts in the offsets of the old topic
    begin: offsets.Offsets = {}
    if offsets.newest(flow) is None:
        reached = {topic: ends for topic, ends in tables.reached(flow).items() if topic not in anew}
        begin = offsets.beginning(flow, reached, accept_gap=options.accept_data_loss)
        board.say("starting", f"new checkpoint, from {json.dumps(begin)}")
    return Lander(spark, flow, lease, board, begin, tables.newest_us(flow.places), topic_ids)


def _start(options: Options, spark: SparkSession, lander: Lander) -> StreamingQuery:
    flow = lander.flow
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings().kafka_bootstrap)
        .option("subscribe", ",".join(flow.topics))
        .option("startingOffsets", json.dumps(lander.begin) if lander.begin else "earliest")
        .option("maxOffsetsPerTrigger", options.largest)
        .option("failOnDataLoss", str(not options.accept_data_loss).lower())
        .option("kafkaConsumer.pollTimeoutMs", 20_000)
        .option("kafka.isolation.level", "read_committed")  # as the stream reads: an aborted payment was never made
        .load()
        .select("topic", "partition", "offset", "timestamp", "key", "value")
    )
    every = f"{options.trigger_s * flow.pace} seconds"
    trigger: Any = {"availableNow": True} if options.once else {"processingTime": every}
    return (
        source.writeStream.queryName(flow.name)
        .option("checkpointLocation", spark_path(flow.checkpoint))
        .foreachBatch(lander)
        .trigger(**trigger)
        .start()
    )


def _watch(query: StreamingQuery, lander: Lander, board: Board, stop: threading.Event) -> None:
    while query.isActive:
        if stop.is_set() or lander.lease.lost.is_set():
            board.say("stopping")
            # Safe at any moment, for the batch would be repeated; but to let it end is cheaper and quieter. One that
            # begins now is refused, not held up: stop() waits for it.
            if lander.idle.acquire(timeout=LONGEST_BATCH_S):
                lander.ending = True
                lander.idle.release()
                query.stop()
            lander.lease.check()
            return
        _note_lag(query, lander.flow, board)
        query.awaitTermination(LOOK_S)  # type: ignore[arg-type]  # seconds may be a fraction
    query.awaitTermination()


def _note_lag(query: StreamingQuery, flow: Flow, board: Board) -> None:
    progress = query.lastProgress
    if progress is not None:
        behind = sum(
            int(source.metrics.get("maxOffsetsBehindLatest", 0)) for source in progress.sources if source.metrics
        )
        board.lag(flow.name, behind)


def _lost_data(message: str) -> bool:
    return any(sign in message for sign in ("KAFKA_DATA_LOSS", "failOnDataLoss", "data may have been lost"))


def _advice(reason: str) -> str:
    return (
        f"Kafka no longer has records that Bronze has not read ({reason}). They aged out (retention.ms) or a topic was "
        "made anew. If they are to be had elsewhere, replay them; then go on from what Kafka has with "
        "`python -m streaming bronze --accept-data-loss` once, and note the gap."
    )


def _other_topic(names: Sequence[str]) -> str:
    return (
        f"{', '.join(names)} was made anew: Kafka gave it another id than that of the records in Bronze, and an offset "
        "means another record now. Restore the topic; or, if the old one is gone for good, land the new one from its "
        "beginning with `python -m streaming bronze --accept-data-loss`, once, and note what the old one still had."
    )


def _reason(error: PySparkException) -> str:
    """Return the line of a Spark error that a person needs: our own error from a worker, else its first lines."""
    text = str(error)
    if ours := re.findall(r"^errors\.(\w+: .*)$", text, re.MULTILINE):
        return str(ours[-1])
    return " ".join(text.split())[:400]
