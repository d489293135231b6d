"""Bronze: how fast the running driver catches up with a burst, told by the commits of its table."""

import time
from dataclasses import dataclass
from typing import Any

from bench import payments, traffic
from bench.figures import Figure, Section, at_least
from errors import ServerError
from lake import reading
from lake.tables import BRONZE_TRANSACTIONS

BURST = 200_000
ARRIVE_S = 300.0


@dataclass(frozen=True)
class Commit:
    """One append: when it was committed (Unix seconds) and how many rows it added."""

    at: float
    rows: int


def measure(runs: int = 3, burst: int = BURST) -> Section:
    """Send bursts, each after the one before has arrived; the first only warms. One rate a run."""
    found = payments.sample()
    rates, producing = [], []
    for run in range(runs + 1):
        messages = traffic.encode(payments.to_send(found, burst, seed=run))
        version, started = _version(), time.time()
        sent = traffic.burst(messages)
        commits = _arrived(version, sent.acknowledged)
        if run:
            rates.append(sent.acknowledged / (commits[-1].at - started))
            producing.append(sent.acknowledged / sent.seconds)
    note = f"bursts of {burst:,}, from the first send to the last commit, the driver warm"
    return Section("Bronze", [
        Figure("catch-up", "payments/s", rates, at_least(10_000), note),
        Figure("the bursts themselves", "payments/s", producing, None, "encoded beforehand"),
    ])  # fmt: skip


def appends(since: int) -> list[Commit]:
    """Return the commits after version `since` that added rows; compactions add none."""
    history: list[dict[str, Any]] = reading.open_table(BRONZE_TRANSACTIONS).history()
    found = []
    for entry in history:
        if entry["version"] <= since or entry["operation"] not in {"WRITE", "STREAMING UPDATE"}:
            continue
        rows = int(entry.get("operationMetrics", {}).get("numOutputRows", 0))
        found.append(Commit(entry["timestamp"] / 1_000, rows))
    return sorted(found, key=lambda commit: commit.at)


def _version() -> int:
    return reading.open_table(BRONZE_TRANSACTIONS).version()


def _arrived(since: int, rows: int) -> list[Commit]:
    """Wait until `rows` more rows are committed and return the commits; other traffic makes it early, never late."""
    end = time.monotonic() + ARRIVE_S
    while time.monotonic() < end:
        commits = appends(since)
        if sum(commit.rows for commit in commits) >= rows:
            return commits
        time.sleep(0.5)
    missing = rows - sum(commit.rows for commit in appends(since))
    raise ServerError(f"{missing:,} of {rows:,} payments did not reach {BRONZE_TRANSACTIONS} within {ARRIVE_S:.0f} s; "
                      "see `make logs S=bronze`")  # fmt: skip
