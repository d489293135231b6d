"""What came back from an HTTP load: every request with its outcome and latency, and the summary people read."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

QUANTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}


@dataclass
class Answers:
    """Each request: outcome (HTTP status as text, `timeout`, `refused`, `reset`), when due (s), latency (ms).

    `late_ms` is how long after its due time a request left: the load generator's own share, and waiting for a
    connection. `seconds` is the wall time until the last answer.
    """

    outcomes: list[str] = field(default_factory=list)
    due_s: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: str, due_s: float, latency_ms: float, late_ms: float) -> None:
        """Count one request."""
        self.outcomes.append(outcome)
        self.due_s.append(due_s)
        self.latency_ms.append(latency_ms)
        self.late_ms.append(late_ms)

    @property
    def counts(self) -> dict[str, int]:
        """Requests by outcome."""
        return dict(sorted(Counter(self.outcomes).items()))

    @property
    def failed(self) -> int:
        """Requests without a 2xx answer."""
        return sum(count for outcome, count in self.counts.items() if not outcome.startswith("2"))

    @property
    def rate(self) -> float:
        """2xx answers per second."""
        return (len(self.outcomes) - self.failed) / self.seconds if self.seconds else 0.0

    def quantile(self, percent: float) -> float:
        """Return a percentile (0 to 100) of latency in ms over requests with an HTTP answer; NaN if there are none."""
        answered = [ms for ms, outcome in zip(self.latency_ms, self.outcomes, strict=True) if outcome.isdigit()]
        return float(np.percentile(answered, percent)) if answered else float("nan")

    def summary(self) -> dict[str, Any]:
        """Return counts, rate, latency quantiles, and the same second by second."""
        return {
            "requests": len(self.outcomes),
            "by_outcome": self.counts,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "answers_per_s": round(self.rate, 1),
            "latency_ms": {name: round(self.quantile(q), 3) for name, q in QUANTILES.items()},
            "late_ms_p99": round(float(np.percentile(self.late_ms, 99)), 3) if self.late_ms else None,
            "by_second": self.by_second(),
        }

    def by_second(self) -> list[dict[str, Any]]:
        """Return for each second of due time: its counts by outcome and its p99 latency in ms."""
        seconds: dict[int, Answers] = {}
        for row in zip(self.outcomes, self.due_s, self.latency_ms, self.late_ms, strict=True):
            seconds.setdefault(int(row[1]), Answers()).add(*row)
        return [
            {"second": second, "by_outcome": part.counts, "p99_ms": round(part.quantile(99), 3)}
            for second, part in sorted(seconds.items())
        ]
