"""How many logged features are what the lake makes them, and why the others are not: parity of serving and training."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from errors import InputError
from features import NAMES, SCHEMA_HASH
from lake import reading
from lake.parity import landed, logged
from lake.parity.cases import Tables, cases
from lake.parity.causes import UNEXPLAINED, Difference, explain
from lake.parity.history import History
from lake.parity.recompute import judge
from lake.tables import BRONZE_DECISIONS
from ml import parallel
from ml.periods import midnight_us

EXAMPLES = 20
Progress = Callable[[str, int], None]


@dataclass
class Feature:
    """One feature over all decisions compared; `largest` is between numbers, of those that differ in being there none.

    `causes` counts what differs by cause.
    """

    name: str
    compared: int
    equal: int
    largest: float = 0.0
    causes: Counter[str] = field(default_factory=Counter)

    @property
    def unexplained(self) -> int:
        """How many differ without a cause."""
        return self.causes[UNEXPLAINED]


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    decisions: those logged; compared: those made again; degraded: those of them that were made without a group and say
    so; differing: the others that have a feature that differs; causes: decisions by cause; other_features: those of
    other features than this program's; waiting: those whose payment has not reached Bronze yet; missing: those whose
    payment never will, which is unexplained; examples: some that nothing explains, with their payment's id.
    """

    features: list[Feature]
    decisions: int
    compared: int
    degraded: int
    differing: int
    causes: Counter[str]
    other_features: int
    waiting: int
    missing: int
    examples: list[tuple[str, Difference]]

    @property
    def unexplained(self) -> int:
        """How many features of how many decisions differ without a cause; a missing payment counts as one."""
        return sum(each.unexplained for each in self.features) + self.missing

    @property
    def explained_share(self) -> float:
        """Share of decisions that differ in some feature for a recorded cause, of those that had every group."""
        complete = self.compared - self.degraded
        return (self.differing - self.causes[UNEXPLAINED]) / complete if complete else 0.0


def run(first: date | None, last: date | None, progress: Progress) -> Parity:
    """Compare the decisions on payments of the days given (None: all there are); InputError if there are none."""
    tables = landed.pin()
    start_us, end_us = _period(tables, first, last)
    progress("reading decisions", 0)
    decisions = logged.read(tables[BRONZE_DECISIONS], start_us, end_us)
    if not decisions.num_rows:
        raise InputError(f"{BRONZE_DECISIONS} has no decision on a payment of {first} to {last}: choose other days")
    return compare(tables, decisions, logged.outages(tables[BRONZE_DECISIONS], start_us, end_us), progress)


def compare(
    tables: Tables, decisions: pa.Table, outages: logged.Outages, progress: Progress = lambda *_: None
) -> Parity:
    """Compare decisions, as `logged.read` has them, with what the lake says; spread over all cores."""
    ours = pc.equal(decisions["schema_hash"], SCHEMA_HASH)
    wanted = decisions.filter(ours)
    history, seen = History(tables), np.zeros(wanted.num_rows, np.bool_)
    found = [Feature(name, 0, 0) for name in NAMES]
    degraded, differing, causes = 0, 0, Counter[str]()
    examples: list[tuple[str, Difference]] = []
    for part in parallel.map_chunks(partial(judge, outages=outages), cases(tables, wanted, parallel.CHUNK)):
        seen[part.numbers] = True
        for feature, equal, largest in zip(found, part.equal.tolist(), part.largest.tolist(), strict=True):
            feature.compared += len(part.numbers)
            feature.equal += equal
            feature.largest = max(feature.largest, largest)
        degraded += part.degraded
        for case in part.cases:
            differing += not case.is_degraded
            differences = explain(case, history)
            for each in differences:
                found[NAMES.index(each.feature)].causes[each.cause] += 1
                if not each.explained and len(examples) < EXAMPLES:
                    examples.append((case.payment["transaction_id"], each))
            # A decision counts once under each of its causes; one that nothing explains under that alone.
            reasons = {each.cause for each in differences}
            causes.update({UNEXPLAINED} if UNEXPLAINED in reasons else reasons)
        progress("comparing decisions", len(part.numbers))
    absent = wanted.filter(pa.array(~seen))
    missing = sum(landed.is_missing(tables, absent)) if absent.num_rows else 0
    return Parity(
        found,
        decisions.num_rows,
        int(seen.sum()),
        degraded,
        differing,
        causes,
        decisions.num_rows - wanted.num_rows,
        absent.num_rows - missing,
        missing,
        examples,
    )


def _period(tables: Tables, first: date | None, last: date | None) -> tuple[int, int]:
    if first is None or last is None:
        known = pc.min_max(reading.read(tables[BRONZE_DECISIONS], ["event_time"])["event_time"])
        if not known["min"].is_valid:
            raise InputError(f"{BRONZE_DECISIONS} is empty: decisions land there a few seconds after they are made")
        first, last = first or known["min"].as_py().date(), last or known["max"].as_py().date()
    if first > last:
        raise InputError(f"the days are out of order: from {first} to {last}")
    return midnight_us(first), midnight_us(last + timedelta(days=1))
