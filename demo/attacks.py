"""Thefts played on the running stack, and at which of its payments the stream first stopped each."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from clients import kafka, registry
from contracts import wire
from contracts.topics import DECISIONS

DECIDED_WITHIN_S = 60.0
EXPECTED = {
    "geo_jump": {"place"},
    "velocity_burst": {"velocity", "spending"},
    "high_amount": {"amount", "spending"},
    "card_testing": {"velocity", "spending", "amount"},
}
"""The reasons that name a pattern: one of them should be among the first two where it is stopped. Cards are tested with
tiny amounts, quickly; at the first of them only the amount can tell."""


@dataclass(frozen=True)
class Theft:
    """One theft: its pattern, and the decision on each of its payments in order (None: there was none)."""

    pattern: str
    decisions: Sequence[Mapping[str, Any] | None]

    @property
    def stopped_at(self) -> int | None:
        """The number (from 1) of the first payment that was not approved."""
        number = (n for n, each in enumerate(self.decisions, 1) if each and each["decision"] != "approve")
        return next(number, None)

    @property
    def lost(self) -> float:
        """What went through, in the reporting currency: every payment before the first that was stopped."""
        through = self.decisions if self.stopped_at is None else self.decisions[: self.stopped_at - 1]
        return sum(json.loads(each["features"])["amount"] or 0.0 for each in through if each)

    @property
    def reasons(self) -> list[Mapping[str, str]]:
        """Why it was stopped, strongest first."""
        stopped = self.decisions[self.stopped_at - 1] if self.stopped_at else None
        reasons: list[Mapping[str, str]] = json.loads(stopped["reasons"]) if stopped else []
        return reasons


def decided_so_far() -> dict[int, int]:
    """Return where the decisions yet to come will stand: partition to offset."""
    return kafka.ends(DECISIONS.name)


def track(thefts: Sequence[Mapping[str, Any]], begin: Mapping[int, int]) -> dict[str, Any]:
    """Wait for the decisions, from `begin` on, on `thefts` (as `ingestion attack` lists them) and return the table."""
    wanted = {payment["transaction_id"] for theft in thefts for payment in theft["payments"]}
    decided: dict[str, Mapping[str, Any]] = {}
    deadline = time.monotonic() + DECIDED_WITHIN_S
    while len(decided) < len(wanted) and time.monotonic() < deadline:
        decided = _decisions(wanted, begin)
        time.sleep(0.5)
    return table(
        [
            Theft(theft["pattern"], [decided.get(payment["transaction_id"]) for payment in theft["payments"]])
            for theft in thefts
        ]
    )


def table(thefts: Sequence[Theft]) -> dict[str, Any]:
    """Return a line for each pattern, and of its first theft the story."""
    return {
        "lines": [_line(name, [each for each in thefts if each.pattern == name]) for name in EXPECTED],
        "stories": [_story(next(each for each in thefts if each.pattern == name)) for name in EXPECTED],
    }


def _line(name: str, thefts: Sequence[Theft]) -> dict[str, Any]:
    stopped = [each for each in thefts if each.stopped_at]
    named = sum(bool(EXPECTED[name] & {reason["code"] for reason in each.reasons[:2]}) for each in stopped)
    return {
        "pattern": name,
        "thefts": len(thefts),
        "payments": sum(len(each.decisions) for each in thefts),
        "undecided": sum(each is None for theft in thefts for each in theft.decisions),
        "stopped": len(stopped),
        "stopped_at": median(each.stopped_at or 0 for each in stopped) if stopped else None,
        "lost": median(each.lost for each in thefts),
        "named": named,
    }


def _story(theft: Theft) -> dict[str, Any]:
    texts = [reason["text"] for reason in theft.reasons[:2]]
    return {"pattern": theft.pattern, "payments": len(theft.decisions), "stopped_at": theft.stopped_at, "why": texts}


def _decisions(wanted: set[str], begin: Mapping[int, int]) -> dict[str, Mapping[str, Any]]:
    writer = registry.writers()
    found: dict[str, Mapping[str, Any]] = {}
    for message in kafka.read_all(DECISIONS.name, begin):
        _, record = wire.decode(message.value(), writer, "decision")
        if record["transaction_id"] in wanted:
            found.setdefault(record["transaction_id"], record)
    return found
