"""What the stream scorer says of itself: a log line every few seconds of traffic, and a file for `make status`."""

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.partitioning import MISPLACED
from features import Status
from scoring.decision import Decision
from scoring.model import Model
from scoring.ruling import DecidedBy, Ruling
from serving import status_file
from serving.decide.stages import Clock
from serving.policy.in_force import InForce
from serving.stream.intake import Arrival, Batch
from serving.stream.observer import Part

log = logging.getLogger("stream")
TELL_EVERY_S = 5.0
NEWEST = 5_000
UNPRICED = f'"{Status.UNPRICED}"'


class Statistics:
    """Counts since the start, and the latencies of the newest decisions."""

    def __init__(self, file: Path) -> None:
        """Write to `file`."""
        self._file = file
        self._counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._stages: Counter[str] = Counter()
        self._ms: deque[float] = deque(maxlen=NEWEST)
        self._next = 0.0
        self._failing: set[str] = set()

    def add(
        self, taken: Sequence[Arrival], records: Sequence[Mapping[str, Any]], alerts: int, batch: Batch, clock: Clock
    ) -> None:
        """Count one batch."""
        now_us = time.time_ns() // 1_000
        self._ms.extend((now_us - arrival.at_us) / 1_000 for arrival in taken)
        self._counts.update(
            decided=len(records),
            alerts=alerts,
            history=sum(arrival.is_history for arrival in batch.arrivals),
            invalid=batch.invalid.total(),
            unreadable_fields=batch.absent.total(),
            **{f"refused_{code}": count for code, count in batch.invalid.items() if code in MISPLACED},
            degraded=sum(record["degraded"] is not None for record in records),
            unpriced=sum(UNPRICED in (record["degraded"] or "") for record in records),
        )
        self._stages.update(clock.stages)

    def add_rulings(self, rulings: Sequence[Ruling]) -> None:
        """Count what rules and notes did in one batch; say once of a rule that it could not be evaluated."""
        failed = [name for ruling in rulings for name in ruling.hits.failed]
        for name in set(failed) - self._failing:
            log.warning("rule %s: cannot be evaluated on some payment, does it divide by zero? It did not match", name)
        self._failing.update(failed)
        self._counts.update(
            blocked=sum(ruling.decision is Decision.BLOCK for ruling in rulings),
            by_rules=sum(ruling.decided_by is DecidedBy.RULE for ruling in rulings),
            suppressed=sum(bool(ruling.suppressed) for ruling in rulings),
            rule_failures=len(failed),
        )

    def tell(self, parts: Mapping[int, Part], model: Model | None, rules: InForce) -> None:
        """Every few seconds, write the file, and a line if anything happened."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + TELL_EVERY_S
        behind = {number: part.position - part.observed for number, part in parts.items() if not part.whole}
        latency = sorted(self._ms)
        p50, p99 = (round(latency[int(len(latency) * q)], 1) if latency else None for q in (0.5, 0.99))
        status = {
            **self._counts,
            "partitions": sorted(parts),
            "windows_behind": behind,
            "p50_ms": p50,
            "p99_ms": p99,
            "model": model.version if model else None,
            "rules": rules.version,
            "rules_refused": rules.refused,
            "rules_missing": rules.missing,
            "policy": rules.describe(),
        }
        status_file.write(self._file, status, log)
        new = self._counts - self._told
        if new:
            said = ", ".join(f"{count:,} {name}" for name, count in new.items())
            total = self._stages.total() or 1
            shares = ", ".join(f"{name} {time_us / total:.0%}" for name, time_us in self._stages.most_common())
            log.info(
                "%s; p50 %s ms, p99 %s ms; %s%s",
                said,
                p50,
                p99,
                shares,
                f"; windows behind: {behind}" if behind else "",
            )
            self._told, self._stages = Counter(self._counts), Counter()
            self._ms.clear()
