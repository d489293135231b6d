"""Replays a mapped file onto Kafka in the order of time, at full speed or by a factor, with its labels when due."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from contracts.topics import TRANSACTIONS
from errors import InputError, RejectedError
from ingestion.files import columns
from ingestion.files.reading import Reader
from ingestion.files.store import OWN, Store, Totals
from ingestion.producer import Origin, Sender

BATCH = 5_000
TICK_S = 0.05
UNMAPPABLE = "unmappable"
Rows = list[tuple[int, str | None, dict[str, Any]]]
"""Of each row: its number in the file, why it cannot be mapped (or None), and the transaction record."""


def refuse_collisions(totals: Totals, store: Store) -> None:
    """Raise InputError if one id stands for several payments: they could not be told apart ever after."""
    if not totals.colliding_ids:
        return
    shown = "; ".join(f"rows {', '.join(map(str, rows))}" for _, _, rows in store.collisions(3))
    raise InputError(
        f"{totals.colliding_ids:,} transaction ids stand for {totals.colliding_rows:,} different payments ({shown}); "
        "build the id from several columns, such as `transaction_id: {columns: [card, number]}`; --dry-run shows more"
    )


def rows(batch: pa.RecordBatch, fixed: dict[str, Any]) -> Rows:
    """Return each row of a batch from the store as a transaction record, constants filled in."""
    lists = columns.to_lists(batch)
    numbers, problems = lists["row"], lists["problem"]
    names = [name for name in lists if name not in OWN]
    cells = zip(*(lists[name] for name in names), strict=True)
    records = [{**fixed, **dict(zip(names, row, strict=True))} for row in cells]
    return list(zip(numbers, problems, records, strict=True))


def send(
    reader: Reader, store: Store, sender: Sender, factor: float | None, advance: Callable[[int], None]
) -> tuple[int, int]:
    """Send everything; returns (labels not known yet, labels of payments that were rejected).

    `factor` None is full speed; 60 plays an hour of the file in a minute. Labels go out when the payments sent have
    reached their known_at, and the rest at the end, up to the wall clock. Adds to the sender's `seconds`.
    """
    file = reader.path.name
    for number, broken in sorted(reader.broken.items()):
        sender.letter(TRANSACTIONS.name, {}, RejectedError(UNMAPPABLE, broken), Origin(file, [number]))
    fixed = columns.template(reader.mapping)
    labels = _Labels(store, reader.mapping.source)
    for batch in _paced(_timed(store.by_time(BATCH), sender, "sort"), fixed, sender, factor):
        good = [(number, record) for number, why, record in batch if why is None]
        for number, why, record in batch:
            if why is not None:
                sender.letter(TRANSACTIONS.name, record, RejectedError(UNMAPPABLE, why), Origin(file, [number]))
        rejected = sender.payments([record for _, record in good], Origin(file, [number for number, _ in good]))
        labels.rejected.update(str(record.get("transaction_id")) for record in rejected)
        if good:
            sender.labels(labels.until(good[-1][1]["event_time"] or 0))
        advance(len(batch))
    while due := labels.until(time.time_ns() // 1_000):
        sender.labels(due)
    return labels.left(), labels.dropped


def _paced(
    batches: Iterator[pa.RecordBatch], fixed: dict[str, Any], sender: Sender, factor: float | None
) -> Iterator[Rows]:
    clock = time.perf_counter
    began: tuple[float, int] | None = None
    for batch in batches:
        started = clock()
        mapped = rows(batch, fixed)
        sender.seconds["map"] += clock() - started
        if factor is None:
            yield mapped
            continue
        times = [record["event_time"] or 0 for _, _, record in mapped]
        place = 0
        while place < len(mapped):
            began = began or (time.monotonic(), next((t for t in times if t), 0))
            due = bisect_right(times, began[1] + int((time.monotonic() - began[0]) * factor * 1e6), lo=place)
            if due > place:
                yield mapped[place:due]
                place = due
            else:
                sender.poll()
                time.sleep(TICK_S)
                sender.seconds["wait"] += TICK_S


def _timed(batches: Iterator[pa.RecordBatch], sender: Sender, stage: str) -> Iterator[pa.RecordBatch]:
    while True:
        started = time.perf_counter()
        batch = next(batches, None)
        sender.seconds[stage] += time.perf_counter() - started
        if batch is None:
            return
        yield batch


class _Labels:
    """The file's labels in the order in which they become known."""

    def __init__(self, store: Store, source: str) -> None:
        self.source = source
        self.rejected: set[str] = set()
        self.dropped = 0
        self._batches = store.labels(BATCH)
        self._waiting: list[dict[str, Any]] = []

    def until(self, known_at: int) -> list[dict[str, Any]]:
        """Take the labels known by then, at most a batch or two."""
        while not self._waiting or self._waiting[-1]["known_at"] <= known_at:
            batch = next(self._batches, None)
            if batch is None:
                break
            lists = columns.to_lists(batch)
            self._waiting += [
                {
                    "source": self.source,
                    "transaction_id": name,
                    "verdict": verdict,
                    "known_at": at,
                    "origin": "file",
                    "by": None,
                    "note": None,
                }
                for name, verdict, at in zip(lists["transaction_id"], lists["verdict"], lists["known_at"], strict=True)
            ]
            if len(self._waiting) > BATCH:
                break
        place = bisect_right(self._waiting, known_at, key=lambda label: int(label["known_at"]))
        due, self._waiting = self._waiting[:place], self._waiting[place:]
        kept = [label for label in due if label["transaction_id"] not in self.rejected]
        self.dropped += len(due) - len(kept)
        return kept

    def left(self) -> int:
        """Count the labels that are not known yet."""
        return len(self._waiting) + sum(int(batch.num_rows) for batch in self._batches)
