"""Makes the vectors of logged decisions again, from profiles and a replay of windows, and finds those that differ."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import features
from contracts.arrival import observed
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, DEGRADED, HOUR_US, NAMES, Group, Profile, Status, Window
from lake.parity.logged import Outages, matrix
from lake.point_in_time import RECORD

Record = dict[str, Any]
Vectors = NDArray[np.float32]
WINDOWED = [NAMES.index(each.name) for each in features.WINDOW]
REMEMBERED_US = 25 * HOUR_US
"""Of lost windows the stream makes the last 25 hours again."""
LATEST = 20
"""Outages looked at for a window that differs, newest first."""
NEW = Profile(Status.NEW)
ABSENT = Profile(Status.ABSENT)


@dataclass(frozen=True)
class Case:
    """A decision that differs: its payment, `groups` as recorded, what it knew and what it should have known.

    `rebuilt` is the window that a loss at `lost_us` (UTC us) would have left, where that is the one that was logged.
    """

    number: int
    payment: Record
    groups: Record
    decided_us: int
    logged: Vectors
    again: Vectors
    due: dict[Group, Profile]
    rebuilt: Profile | None = None
    lost_us: int | None = None

    @property
    def is_degraded(self) -> bool:
        """Whether the decision was made without a group that should have been there."""
        return _is_degraded(self.groups)


@dataclass(frozen=True)
class Judged:
    """A chunk's decisions: numbers (n,), how many were degraded; by feature how many are equal, largest difference."""

    numbers: NDArray[np.int64]
    degraded: int
    equal: NDArray[np.int64]
    largest: NDArray[np.float64]
    cases: list[Case]


def judge(chunk: pa.Table, outages: Outages) -> Judged:
    """Make the vector of every decision of a chunk of `cases.cases` again, and compare it to the bit."""
    payments = [dict(zip(RECORD, row, strict=True)) for row in zip(*_lists(chunk, RECORD), strict=True)]
    decided = chunk.column("number").is_valid()
    found = chunk.filter(decided)
    profiles = zip(_due(found, "card", CARD_COLUMNS), _due(found, "acceptor", ACCEPTOR_COLUMNS), strict=True)
    window, card, begin = Window(), None, 0
    places: list[tuple[int, int]] = []
    dues: list[dict[Group, Profile]] = []
    events = [observed(*each) for each in zip(payments, chunk.column("kafka_us").to_pylist(), strict=True)]
    for place, (payment, is_decided) in enumerate(zip(payments, decided.to_pylist(), strict=True)):
        if payment["card_id"] != card:
            window, card, begin = Window(), payment["card_id"], place
        if is_decided:
            of_card, of_acceptor = next(profiles)
            places.append((begin, place))
            dues.append(
                {
                    Group.CARD: of_card,
                    Group.ACCEPTOR: of_acceptor if features.acceptor_id(payment) is not None else ABSENT,
                    Group.WINDOW: features.windowed(payment, window, event=events[place]),
                }
            )
        features.observe(window, payment, events[place])
    rows = [build(payments[place], due) for (_, place), due in zip(places, dues, strict=True)]
    again = np.array(rows, np.float32).reshape(-1, len(NAMES))
    logged = matrix(found.column("logged"))
    same = equal(logged, again)
    facts = [
        found.column("number").to_pylist(),
        list(map(orjson.loads, found.column("groups").to_pylist())),
        found.column("decided_at").to_pylist(),
    ]
    differing = []
    for index in np.flatnonzero(~same.all(axis=1)).tolist():
        number, groups, decided_us = (column[index] for column in facts)
        begin, place = places[index]
        case = Case(number, payments[place], groups, decided_us, logged[index], again[index], dues[index])
        if not same[index, WINDOWED].all():
            case = _with_window(case, chunk, payments, begin, place, outages)
        differing.append(case)
    with np.errstate(invalid="ignore"):
        apart = np.abs(logged.astype(np.float64) - again)
    largest = np.nanmax(apart, axis=0, initial=0.0, where=~np.isnan(apart))
    degraded = sum(map(_is_degraded, facts[1]))
    return Judged(np.array(facts[0], np.int64), degraded, same.sum(axis=0), largest, differing)


def _is_degraded(groups: Record) -> bool:
    return any(told.get("status") in DEGRADED for told in groups.values())


def build(payment: Record, known: dict[Group, Profile]) -> Vectors:
    """Return the vector of a payment from what is known of each group, by the builder that serves."""
    return features.build(payment, known[Group.CARD], known[Group.ACCEPTOR], known[Group.WINDOW]).to_array()


def equal(one: Vectors, other: Vectors) -> NDArray[np.bool_]:
    """Return where two float32 arrays have the same bits; a NaN equals a NaN."""
    same: NDArray[np.bool_] = (one.view(np.int32) == other.view(np.int32)) | (np.isnan(one) & np.isnan(other))
    return same


def _with_window(case: Case, chunk: pa.Table, payments: list[Record], begin: int, place: int, outages: Outages) -> Case:
    """Return the case with the window that an outage with loss would have left, if that one was logged."""
    spans = [span for span in outages if span[0] < case.decided_us][-LATEST:]
    arrived = chunk.column("kafka_us").slice(begin, place - begin + 1).to_pylist() if spans else []
    for lost_us in (moment for span in reversed(spans) for moment in (span[0], min(span[1], case.decided_us))):
        window = Window()
        for kafka_us, payment in zip(arrived[:-1], payments[begin:place], strict=True):
            if kafka_us >= lost_us - REMEMBERED_US:
                features.observe(window, payment, observed(payment, kafka_us))
        found = features.windowed(case.payment, window, event=observed(case.payment, arrived[place - begin]))
        vector = build(case.payment, case.due | {Group.WINDOW: found})
        if equal(vector[WINDOWED], case.logged[WINDOWED]).all():
            return replace(case, rebuilt=found, lost_us=lost_us)
    return case


def _due(rows: pa.Table, kind: str, columns: tuple[str, ...]) -> Iterator[Profile]:
    """Yield the profile that is due to each row; SQL NULL becomes NaN."""
    days, versions = _lists(rows, (f"{kind}_day", f"{kind}_version"))
    numbers = [pc.fill_null(rows.column(name).cast(pa.float64()), np.nan).to_pylist() for name in columns]
    for day, version, values in zip(days, versions, zip(*numbers, strict=True), strict=True):
        yield NEW if day is None else Profile(Status.FRESH, values, day, version)


def _lists(chunk: pa.Table, names: tuple[str, ...]) -> Iterator[list[Any]]:
    return (chunk.column(name).to_pylist() for name in names)
