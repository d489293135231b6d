"""The command `replay`: reads and checks a user's file, then sends it, and says what happened."""

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from contracts.topics import TRANSACTIONS
from errors import InputError
from ingestion import console, delays
from ingestion.files import mapping, store
from ingestion.files.loading import Labels, load
from ingestion.files.reading import Reader
from ingestion.producer import Sender
from ingestion.replay import preview
from ingestion.replay.send import refuse_collisions, send
from lake import card_key

FULL_SPEED = "max"


@dataclass(frozen=True)
class Request:
    """What the user asked for; the options of `replay`."""

    file: Path
    mapping: Path
    speed: str
    label_delay: str
    seed: int

    @property
    def factor(self) -> float | None:
        """How many times faster than life, None at full speed."""
        if self.speed == FULL_SPEED:
            return None
        try:
            factor = float(self.speed)
        except ValueError:
            factor = 0.0
        if not 0 < factor < float("inf"):
            raise InputError(f"--speed {self.speed}: give max, or a factor above 0")
        return factor

    def open(self) -> tuple[Reader, Labels]:
        """Check mapping and options; nothing is read yet."""
        key = card_key.verified()
        return Reader(self.file, mapping.load(self.mapping), key), Labels(delays.parse(self.label_delay), self.seed)


def dry_run(request: Request, json_file: Path | None) -> int:
    """Read and check the whole file; returns the exit code: 1 if replay would refuse to start."""
    reader, labels = request.open()
    with store.opened() as held:
        with console.bar(f"reading {request.file.name}", None) as bar:
            load(reader, held, labels, defaultdict(float), bar.advance)
        found = preview.examine(reader, held)
        preview.show(found, reader, held)
    console.write_json(json_file, found.as_json())
    return int(found.totals.colliding_ids > 0)


def run(request: Request, json_file: Path | None, *, show_timings: bool) -> None:
    """Send the file; the clock runs from the first byte read to the last acknowledgement."""
    factor = request.factor
    reader, labels = request.open()
    sender = Sender()
    pa.array([])  # pyarrow imports pandas with its first array: start-up, not work
    with store.opened() as held:
        started = time.perf_counter()
        with console.bar(f"reading {request.file.name}", None) as bar:
            load(reader, held, labels, sender.seconds, bar.advance)
        counting = time.perf_counter()
        totals = held.totals()
        refuse_collisions(totals, held)
        sender.seconds["sort"] += time.perf_counter() - counting
        with console.bar("sending", totals.rows) as bar:
            later, dropped = send(reader, held, sender, factor, bar.advance)
            counts = sender.close()
        spent = time.perf_counter() - started
    found = console.summary(counts, spent) | {
        "rows": totals.rows + len(reader.broken),
        "repeated_rows": totals.repeated,
        "labels_later": later,
        "labels_of_rejected": dropped,
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in sender.seconds.items()},
    }
    console.show(found)
    if later:
        console.console.print(
            f"{later:,} labels are not known yet (payment + {request.label_delay} is after now); not sent"
        )
    if show_timings:
        sender.seconds["rest"] = max(0.0, spent - sum(sender.seconds.values()))
        console.timings(sender.seconds, counts.acknowledged[TRANSACTIONS.name])
    console.write_json(json_file, found)
