"""What the lake says that a decision should have known: its vector made again from Bronze and Gold, and what differs.

Only the card's payments and the profile rows of the payment's day are read.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import pyarrow as pa

import features
from lake.parity import landed, logged
from lake.parity.cases import Tables, cases
from lake.parity.causes import Difference, explain
from lake.parity.history import History
from lake.parity.recompute import judge
from lake.tables import BRONZE_DECISIONS
from serving.records.find import Record


@dataclass(frozen=True)
class LakeComparison:
    """How one decision's vector compares with the lake's; `trouble` says why it could not be made again.

    `skipped`: why there is nothing to compare with.
    """

    differences: tuple[Difference, ...] = ()
    trouble: str | None = None
    skipped: str | None = None

    @property
    def unexplained(self) -> bool:
        """Whether something differs, or is missing, without a recorded cause."""
        return self.trouble is not None or not all(each.explained for each in self.differences)

    @property
    def lines(self) -> list[str]:
        """Return what a person reads."""
        if self.skipped:
            return [f"from the lake: not compared: {self.skipped}"]
        if self.trouble:
            return [f"from the lake: not made again: {self.trouble}"]
        if not self.differences:
            return ["from the lake: every feature is equal to the bit"]
        return [
            f"from the lake: {each.feature} was {_text(each.logged)}, is {_text(each.again)}; {each.cause}"
            for each in self.differences
        ]

    @property
    def summary(self) -> Record:
        """Return the same for programs, as JSON takes it: null is missing."""
        differences = [
            {
                name: value if not isinstance(value, float) or isfinite(value) else None
                for name, value in asdict(each).items()
                if name != "number"
            }
            for each in self.differences
        ]
        return {
            "differences": differences,
            "trouble": self.trouble,
            "skipped": self.skipped,
            "unexplained": self.unexplained,
        }


def run(records: Iterable[Record]) -> list[LakeComparison]:
    """Make the vector of each record again; raises the storage's errors, InputError when a table is missing."""
    tables = landed.pin()
    return [compare(tables, record) for record in records]


def compare(tables: Tables, record: Record) -> LakeComparison:
    """Make the vector of one record, as `find` has it, again."""
    if record["origin"] == "api":
        return LakeComparison(
            skipped="/predict read the window as it stood when it was asked, and no log repeats that moment"
        )
    if record["schema_hash"] != features.SCHEMA_HASH:
        return LakeComparison(
            trouble=f"made by other features, {record['schema_hash']}; ours are {features.SCHEMA_HASH}"
        )
    table = _table(record)
    for chunk in cases(tables, table):
        found = judge(chunk, [])
        if not len(found.numbers):
            continue  # another payment of the card
        if found.cases:
            time_us = record["event_time"]
            found = judge(chunk, logged.outages(tables[BRONZE_DECISIONS], time_us, record["decided_at"] + 1))
        history = History(tables)
        return LakeComparison(tuple(each for case in found.cases for each in explain(case, history)))
    missing = landed.is_missing(tables, table)[0]
    return LakeComparison(
        trouble="its payment is not in Bronze, which is past its place: unexplained"
        if missing
        else "its payment has not reached Bronze yet; try again in some seconds"
    )


def _text(value: float) -> str:
    return f"{value:.9g}" if isfinite(value) else "missing"


def _table(record: Record) -> pa.Table:
    kinds: dict[str, Any] = dict.fromkeys(logged.COLUMNS, pa.string()) | {
        "event_time": pa.int64(),
        "decided_at": pa.int64(),
        "payment_partition": pa.int32(),
        "payment_offset": pa.int64(),
        "vector": pa.binary(),
    }
    return pa.Table.from_pylist([{name: record[name] for name in kinds}], pa.schema(kinds.items()))
