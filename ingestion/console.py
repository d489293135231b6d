"""What the commands show: a progress bar while they run, and a summary that balances when they end."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts.topics import LABELS, TRANSACTIONS
from ingestion.producer import Counts

PIPED_WIDTH = 160
console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
errors = Console(stderr=True)


class Bar:
    """A progress bar that shows counts and the rate a second; `advance(n)` moves it."""

    def __init__(self, progress: Progress, title: str, total: float | None) -> None:
        """Add the bar to `progress`."""
        self.progress, self.task = progress, progress.add_task(title, total=total, payments=0)
        self.payments = 0

    def advance(self, payments: int, step: float | None = None) -> None:
        """Count payments; the bar moves by `step`, else by as much."""
        self.payments += payments
        self.progress.update(self.task, advance=payments if step is None else step, payments=self.payments)


@contextmanager
def bar(title: str, total: float | None) -> Iterator[Bar]:
    """Show a bar on the terminal's error stream, so that the summary can be piped."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[payments]:,} payments"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=False) as progress:
        yield Bar(progress, title, total)


def summary(counts: Counts, seconds: float) -> dict[str, Any]:
    """Return what went out, for people and programs: counts by topic, letters by code, rate, size of a value."""
    topics: dict[str, dict[str, Any]] = {}
    for topic in (TRANSACTIONS.name, LABELS.name):
        sent, letters = counts.sent[topic], counts.letters[topic]
        acknowledged = counts.acknowledged[topic]
        topics[topic] = {
            "sent": sent,
            "acknowledged": acknowledged,
            "letters": letters,
            "balances": sent == acknowledged + letters,
            "bytes_each": round(counts.value_bytes[topic] / acknowledged, 1) if acknowledged else None,
        }
    payments = topics[TRANSACTIONS.name]["acknowledged"]
    return {
        "topics": topics,
        "letters_by_code": dict(sorted(counts.codes.items())),
        "unreadable_fields": dict(sorted(counts.absent.items())),
        "seconds": round(seconds, 3),
        "payments_per_s": round(payments / seconds, 1) if seconds else None,
    }


def show(found: Mapping[str, Any]) -> None:
    """Print a summary."""
    table = Table("topic", *("sent", "acknowledged", "letters", "bytes each"), title="on Kafka", title_justify="left")
    for topic, line in found["topics"].items():
        table.add_row(
            topic,
            f"{line['sent']:,}",
            f"{line['acknowledged']:,}",
            f"{line['letters']:,}",
            str(line["bytes_each"] or "-"),
        )
    console.print(table)
    for code, count in found["letters_by_code"].items():
        console.print(f"  letter {code}: {count:,}")
    for name, count in found["unreadable_fields"].items():
        console.print(f"  {name}: {count:,} values could not be read and were sent as absent")
    balances = all(line["balances"] for line in found["topics"].values())
    verdict = "sent = acknowledged + letters" if balances else "[red]sent is not acknowledged + letters"
    console.print(f"{found['seconds']:.1f} s, {found['payments_per_s'] or 0:,.0f} payments/s; {verdict}")


def timings(seconds: Mapping[str, float], payments: int) -> None:
    """Print what each stage cost."""
    table = Table("stage", "s", "us a payment", "share", title="where the time went", title_justify="left")
    total = sum(seconds.values()) or 1.0
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent:.2f}", f"{spent / max(1, payments) * 1e6:.2f}", f"{spent / total:.0%}")
    console.print(table)


def write_json(file: Path | None, found: Mapping[str, Any]) -> None:
    """Write a summary for programs, if a file is given."""
    if file:
        file.write_text(json.dumps(found, indent=1) + "\n")
