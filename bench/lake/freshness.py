"""Freshness: from a payment's Kafka timestamp to the first Trino query that sees it, at 500 payments/s."""

import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from bench.figures import Figure, Section, at_most
from clients import kafka, trino
from contracts.topics import TRANSACTIONS
from errors import ServerError
from lake.tables import BRONZE_TRANSACTIONS
from settings import PROJECT_DIR

RATE = 500
LOOK_EVERY_S = 0.5
"""A query after the other without a pause would take a core from what is measured."""
WAIT_S = 120.0
OVERLAP_S = 2.0
"""Batches land in order; this is for the clocks."""


@dataclass
class Seen:
    """By partition: the largest offset that queries returned, and when each of them had returned (Unix seconds)."""

    since: float = field(default_factory=time.time)
    """When the newest batch that was seen had landed (Unix seconds): a query reads no older file."""
    offsets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    at: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    queries: list[float] = field(default_factory=list)

    def add(self, partition: int, offset: int, at: float) -> None:
        """Keep a query's answer if it saw more than the one before."""
        if not self.offsets[partition] or offset > self.offsets[partition][-1]:
            self.offsets[partition].append(offset)
            self.at[partition].append(at)

    def first(self, partition: int, offset: int) -> float | None:
        """Return when the first query that saw `offset` had returned."""
        index = bisect_left(self.offsets[partition], offset)
        return self.at[partition][index] if index < len(self.at[partition]) else None


def measure(warm_s: int = 60, seconds: int = 60) -> Section:
    """Let 500 payments/s flow for `warm_s`, then follow those of the next `seconds` until Trino shows the last one."""
    with payments_flow(RATE, warm_s + seconds):
        warm = time.monotonic() + warm_s
        seen = Seen()
        while time.monotonic() < warm:  # the first queries of a fresh Trino take seconds
            look(seen)
        begin = kafka.ends(TRANSACTIONS.name)
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            look(seen)
        end = kafka.ends(TRANSACTIONS.name)
        patience = time.monotonic() + WAIT_S
        while any(seen.first(p, last - 1) is None for p, last in end.items() if last > begin[p]):
            if time.monotonic() > patience:
                raise ServerError(f"Trino did not show every payment within {WAIT_S:.0f} s; see `make logs S=bronze`")
            look(seen)
    delays = [
        at - sent / 1_000
        for partition, offset, sent in timestamps(begin, end)
        if (at := seen.first(partition, offset)) is not None
    ]
    note = f"{len(delays):,} payments at {RATE}/s, a query each {LOOK_EVERY_S} s"
    p50, p99, worst = (float(value) for value in np.percentile(delays, [50, 99, 100]))
    return Section(
        "Freshness: Kafka timestamp to the first Trino query that sees the payment",
        [
            Figure("p50", "s", [p50], at_most(3), note),
            Figure("p99", "s", [p99], at_most(10)),
            Figure("slowest payment", "s", [worst]),
            Figure("the query itself, p50", "s", [float(np.median(seen.queries))]),
        ],
    )


def look(seen: Seen) -> None:
    """Ask Trino once which offsets are in Bronze's newest batches."""
    started = time.time()
    since = seen.since - OVERLAP_S
    rows = trino.query(
        "SELECT source_partition, max(source_offset), to_unixtime(max(ingested_at)) "  # noqa: S608 - numbers
        f"FROM {BRONZE_TRANSACTIONS} WHERE ingested_date >= date(from_unixtime({since:.0f})) "
        f"AND ingested_at >= from_unixtime({since:.3f}) GROUP BY source_partition"
    )
    now = time.time()
    seen.queries.append(now - started)
    for partition, offset, landed in rows:
        seen.add(partition, offset, now)
        seen.since = max(seen.since, landed)
    time.sleep(max(0.0, LOOK_EVERY_S - (now - started)))


def timestamps(begin: dict[int, int], end: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield (partition, offset, Kafka timestamp in ms) of every message in [begin, end)."""
    for message in kafka.read_all(TRANSACTIONS.name, begin, end):
        yield *kafka.place(message), message.timestamp()[1]


@contextmanager
def payments_flow(rate: int, seconds: float) -> Iterator[None]:
    """Send payments to Kafka from a process of its own while the body runs; ServerError if it came to grief."""
    # As nice as Kafka: it stands for systems elsewhere.
    command = [
        "nice",
        "-n",
        "5",
        sys.executable,
        "-m",
        "bench",
        "produce",
        "--rate",
        str(rate),
        "--seconds",
        str(seconds),
    ]
    with subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True) as flow:
        lines = iter(flow.stdout or ())
        if next(lines, "").strip() != "ready":
            raise ServerError(f"`{' '.join(command[4:])}` could not start; its words stand above")
        try:
            yield
        except BaseException:
            flow.terminate()
            raise
        report = "".join(lines)
    if flow.returncode:
        raise ServerError(f"`{' '.join(command[4:])}` ended with {flow.returncode}")
    sent = json.loads(report)["acknowledged"]
    if sent < rate * seconds * 0.99:
        raise ServerError(f"only {sent:,} of {rate * seconds:,.0f} payments were sent: the machine is too busy")
