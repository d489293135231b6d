"""What a replay would do: first rows mapped, rejected rows counted, colliding ids, features always missing."""

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

import features
from contracts import cleaning
from contracts.validation import accept
from errors import RejectedError
from features import Group, Profile, Status
from ingestion.console import console
from ingestion.files import columns
from ingestion.files.reading import Reader
from ingestion.files.store import Store, Totals
from ingestion.replay.send import UNMAPPABLE, rows

BATCH = 5_000
FIRST = 5
SHOWN = 20
KEPT = 10_000
"""Rejected rows that the findings hold one by one; beyond it they are only counted."""
AMOUNT = "amount"


@dataclass
class Findings:
    """What a dry run found."""

    totals: Totals
    broken: int = 0
    """Lines of a CSV with more or fewer cells than its header: no rows at all."""
    first: list[dict[str, Any]] = field(default_factory=list)
    good: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[int, str, str]] = field(default_factory=list)
    """Row, code, reason of the first rejected rows; all of them are counted in `codes`."""
    absent: Counter[str] = field(default_factory=Counter)
    """Optional fields that cannot be read and would be sent as absent, by name."""
    verdicts: Counter[str] = field(default_factory=Counter)
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the findings for programs."""
        return {
            "rows": self.totals.rows + self.broken,
            "good": self.good,
            "rejected_by_code": dict(sorted(self.codes.items())),
            "rejected_first": [{"row": row, "code": code, "reason": why} for row, code, why in self.rejected],
            "unreadable_fields": dict(sorted(self.absent.items())),
            "colliding_ids": self.totals.colliding_ids,
            "colliding_rows": self.totals.colliding_rows,
            "repeated_rows": self.totals.repeated,
            "labels": dict(sorted(self.verdicts.items())),
            "always_missing_features": list(self.missing),
        }


def examine(reader: Reader, store: Store) -> Findings:
    """Validate every row of a loaded store with the one validation; nothing is sent."""
    found = Findings(store.totals(), len(reader.broken))
    fixed = columns.template(reader.mapping)
    now_us = time.time_ns() // 1_000
    present: set[str] = set()
    for number, broken in sorted(reader.broken.items()):
        _reject(found, number, UNMAPPABLE, broken)
    for batch in store.in_file_order(BATCH):
        found.verdicts.update(v for v in batch.column(batch.schema.get_field_index("verdict")).to_pylist() if v)
        for number, why, record in rows(batch, fixed):
            if why is not None:
                _reject(found, number, UNMAPPABLE, why)
                continue
            try:
                payment = accept(record, "transaction", now_us)
            except RejectedError as error:
                _reject(found, number, error.code, error.reason)
                continue
            found.absent.update(cleaning.absent(payment, "transaction"))
            found.good += 1
            if len(found.first) < FIRST:
                found.first.append(payment)
            if len(present) < len(features.NAMES) and (found.good < BATCH or found.good % 97 == 0):
                present |= _present(payment)
    found.missing = tuple(name for name in features.NAMES if name not in present)
    return found


def show(found: Findings, reader: Reader, store: Store) -> None:
    """Print the findings for a person."""
    totals = found.totals
    console.print(
        f"[bold]{reader.path}[/]: {totals.rows + len(reader.broken):,} rows, {totals.cards:,} cards, "
        f"{_day(totals.first_us)} to {_day(totals.last_us)}"
    )
    table = Table(
        "field", *(f"row {i + 1}" for i in range(len(found.first))), title="first rows, mapped", title_justify="left"
    )
    for name in found.first[0] if found.first else ():
        if all(record[name] is None for record in found.first):
            continue
        cells = (record[name] for record in found.first)
        table.add_row(name, *(_shown(_day(cell) if name == "event_time" else cell) for cell in cells))
    console.print(table)
    labels = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(found.verdicts.items())) or "none"
    console.print(f"{found.good:,} rows would be sent; labels: {labels}")
    console.print(f"{found.codes.total():,} rows would become dead letters")
    for code, count in found.codes.most_common():
        console.print(f"  {code}: {count:,}")
    for number, code, why in found.rejected[:SHOWN]:
        console.print(f"  row {number}: {code}: {why}", markup=False, highlight=False)
    if found.codes.total() > SHOWN:
        console.print(f"  ... and {found.codes.total() - SHOWN:,} more; --json FILE holds the first {KEPT:,}")
    for name, count in found.absent.most_common():
        console.print(f"  {name}: {count:,} values cannot be read and would be sent as absent")
    console.print(f"{totals.repeated:,} rows repeat an earlier one (same id, same content): Silver keeps one of each")
    console.print(
        f"{totals.colliding_ids:,} colliding ids (same id, other content)"
        + (": replay refuses to start" if totals.colliding_ids else "")
    )
    for name, contents, where in store.collisions(FIRST) if totals.colliding_ids else ():
        console.print(f"  {_shown(name)}: {contents} payments, rows {', '.join(map(str, where))}", markup=False)
    console.print("features always missing with this mapping: " + (", ".join(found.missing) or "none"))


def _reject(found: Findings, number: int, code: str, why: str) -> None:
    found.codes[code] += 1
    if len(found.rejected) < KEPT:
        found.rejected.append((number, code, why))


def _present(record: dict[str, Any]) -> set[str]:
    """Return the features that this payment would have once its card and acceptor have a history.

    Its card paid the same way a second before.
    """
    acceptor = features.acceptor_id(record)
    card = Profile(Status.FRESH, (1.0,) * len(features.CARD_COLUMNS), 0)
    other = Profile(Status.FRESH if acceptor else Status.ABSENT, (1.0,) * len(features.ACCEPTOR_COLUMNS), 0)
    window = features.Window()
    features.observe(window, record | {"transaction_id": "", "event_time": record["event_time"] - features.SECOND_US})
    values = features.build(record, card, other, features.windowed(record, window)).values
    names = {name for name, value in zip(features.NAMES, values, strict=True) if not math.isnan(value)}
    if not record.get("mcc"):
        names.discard("mcc_risk_30d")
    if acceptor is None:
        names.discard("card_distinct_acceptors_30d")
    if AMOUNT not in names:
        names -= {f.name for f in features.FEATURES if f.group is Group.CARD and AMOUNT in f.name}
    return names


def _shown(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:10]}...{text[-6:]}"


def _day(time_us: int | None) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S") if time_us is not None else "?"
