"""Labels that the simulator knows and nobody else does yet: kept in the stack's folder until they are due."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from settings import lakehouse_home

Label = dict[str, Any]


def path() -> Path:
    """Return the file that holds them, one JSON object a line."""
    return lakehouse_home() / "simulator" / "pending-labels.jsonl"


def take(until_us: int) -> list[Label]:
    """Take out the labels with known_at <= `until_us`, in that order."""
    with _locked() as kept:
        due = [label for label in kept if label["known_at"] <= until_us]
        kept[:] = [label for label in kept if label["known_at"] > until_us]
    return sorted(due, key=lambda label: int(label["known_at"]))


def put(labels: list[Label]) -> None:
    """Add labels; one that is there already is kept once, so that a history made twice does no harm."""
    with _locked() as kept:
        unique = {json.dumps(label, sort_keys=True): label for label in [*kept, *labels]}
        kept[:] = unique.values()


@contextmanager
def _locked() -> Iterator[list[Label]]:
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with (file.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        labels = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        yield labels
        fresh = file.with_suffix(".new")
        fresh.write_text("".join(json.dumps(label) + "\n" for label in labels))
        os.replace(fresh, file)  # noqa: PTH105 - atomic
