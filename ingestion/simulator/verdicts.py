"""When and from whom the simulated truth becomes known: labels come later, some never, a few are corrected."""

from typing import Any

import numpy as np

from ingestion.delays import UNIT_US, Delay
from ingestion.simulator.days import Day
from ingestion.simulator.payments import SOURCE

# origin: share of the reported frauds, median delay in days, standard deviation of its logarithm
ORIGINS = {
    "customer": (0.30, 1.0, 0.8),
    "issuer_report": (0.35, 2.5, 0.7),
    "chargeback": (0.30, 12.0, 0.5),
    "analyst": (0.05, 0.2, 0.8),
}
REPORTED = 0.97
CLEARED = 0.002
"""Of genuine payments: an analyst looked, and found them genuine."""
MISTAKEN = 0.0003
"""Of genuine payments: the holder forgot, reported fraud, and was corrected."""
Label = dict[str, Any]


def labels(rng: np.random.Generator, drawn: Day, delay: Delay | None = None) -> list[Label]:
    """Return the label events of these payments by known_at; `delay` replaces the delays of all origins."""
    times = {record["transaction_id"]: record["event_time"] for record in drawn.records}
    stolen = [truth.transaction_id for truth in drawn.truth]
    shares = np.array([share for share, _, _ in ORIGINS.values()])
    origin = rng.choice(list(ORIGINS), len(stolen), p=shares / shares.sum())
    reported = rng.random(len(stolen)) < REPORTED
    found = [
        _label(name, times[name] + _wait(rng, str(by), delay), "fraud", str(by))
        for name, by, is_reported in zip(stolen, origin, reported, strict=True)
        if is_reported
    ]
    fraud = set(stolen)
    chance = rng.random(len(drawn.records))
    for record, drawn_chance in zip(drawn.records, chance.tolist(), strict=True):
        name, at = record["transaction_id"], record["event_time"]
        if drawn_chance > CLEARED or name in fraud:
            continue
        if drawn_chance < MISTAKEN:
            at += _wait(rng, "customer", delay)
            found.append(_label(name, at, "fraud", "customer"))
        found.append(_label(name, at + _wait(rng, "analyst", delay), "genuine", "analyst"))
    return sorted(found, key=lambda label: int(label["known_at"]))


def _wait(rng: np.random.Generator, origin: str, delay: Delay | None) -> int:
    if delay:
        return int(delay(rng, 1)[0])
    _, median, sigma = ORIGINS[origin]
    return int(median * rng.lognormal(0.0, sigma) * UNIT_US["d"])


def _label(name: str, known_at: int, verdict: str, origin: str) -> Label:
    return {
        "source": SOURCE,
        "transaction_id": name,
        "verdict": verdict,
        "known_at": known_at,
        "origin": origin,
        "by": "simulator",
        "note": None,
    }
