"""The live traffic as the stream decided it: how many payments and alerts by the second, and how long each took."""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clients import kafka, registry
from contracts import wire
from contracts.topics import DECISIONS, TRANSACTIONS
from infra.native.paths import current_home
from infra.native.stackenv import required
from infra.native.state.ready import why_not

MOST_LINES = 15
Place = tuple[int, int]
"""Partition and offset of a payment."""


@dataclass(frozen=True)
class Decided:
    """One payment: when it came by Kafka's timestamp (UTC ms), the ms to its decision's, and what that was."""

    at_ms: int
    took_ms: int
    decision: str
    decided_by: str


def decisions_since(since_ms: int) -> dict[str, Any]:
    """Return the decisions on payments that came from `since_ms` (UTC) on, or in one line why there are none.

    Of a payment decided twice the first decision counts. Raises the errors of Kafka and the registry.
    """
    decisions: dict[Place, tuple[int, dict[str, Any]]] = {}
    writer = registry.writers()
    for message in kafka.read_all(DECISIONS.name):
        _, made_ms = message.timestamp()
        if made_ms >= since_ms:
            _, record = wire.decode(message.value(), writer, "decision")
            if record["origin"] == "api":
                continue  # it was answered at once, by another door
            decisions.setdefault((record["payment_partition"], record["payment_offset"]), (made_ms, record))
    arrivals = {
        place: at_ms for place, at_ms in _arrival_times(decisions).items() if place in decisions and at_ms >= since_ms
    }
    decided = [
        Decided(at_ms, made_ms - at_ms, record["decision"], record["decided_by"])
        for place, at_ms in arrivals.items()
        for made_ms, record in [decisions[place]]
    ]
    return by_second(decided) if decided else nothing(_trouble())


def nothing(why: str) -> dict[str, Any]:
    """Return what the page says instead of a table."""
    return {"why": why, "lines": [], "all": None, "fallback": 0}


def by_second(decided: Sequence[Decided]) -> dict[str, Any]:
    """Return counts, alerts and latencies by second, or by as many seconds as make at most MOST_LINES lines."""
    first, last = (pick(each.at_ms for each in decided) // 1_000 for pick in (min, max))
    width = math.ceil((last - first + 1) / MOST_LINES)
    slots: dict[int, list[Decided]] = defaultdict(list)
    for each in decided:
        slots[(each.at_ms // 1_000 - first) // width].append(each)
    lines = [_line(_span(slot * width + 1, width), slots[slot]) for slot in sorted(slots)]
    fallback = sum(each.decided_by == "fallback" for each in decided)
    return {"why": None, "lines": lines, "all": _line("all", decided), "fallback": fallback}


def _line(second: str, decided: Sequence[Decided]) -> dict[str, Any]:
    p50, p99 = np.percentile([each.took_ms for each in decided], (50, 99)).tolist()
    alerts = sum(each.decision != "approve" for each in decided)
    blocked = sum(each.decision == "block" for each in decided)
    return {
        "second": second,
        "decided": len(decided),
        "alerts": alerts,
        "blocked": blocked,
        "p50_ms": p50,
        "p99_ms": p99,
    }


def _span(begin: int, width: int) -> str:
    return str(begin) if width == 1 else f"{begin}-{begin + width - 1}"


def _arrival_times(places: Collection[Place]) -> dict[Place, int]:
    """Return Kafka's timestamp (UTC ms) of the messages at `places`, and of those between them."""
    offsets: dict[int, list[int]] = defaultdict(list)
    for partition, offset in places:
        offsets[partition].append(offset)
    begin = {partition: min(found) for partition, found in offsets.items()}
    end = {partition: max(found) + 1 for partition, found in offsets.items()}
    return {kafka.place(message): message.timestamp()[1] for message in kafka.read_all(TRANSACTIONS.name, begin, end)}


def _trouble() -> str:
    reason = why_not("stream", required(current_home())) or "though it says that it is ready"
    return f"the stream decided none of the live payments: {reason}; see `make logs S=stream`"
