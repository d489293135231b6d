"""What the lake offers to training: pinned tables, the periods they allow, point-in-time rows and verdicts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import pyarrow as pa

from epoch import to_day
from errors import InputError
from features import profile_day
from lake import point_in_time, reading
from lake.tables import TRANSACTIONS
from ml import periods
from ml.dataset.rows import Rows, collect
from ml.dataset.window_replay import attach, replay
from ml.periods import Split
from settings import definitions


@dataclass(frozen=True)
class Source:
    """The lake at pinned versions, and what it covers."""

    snapshot: point_in_time.Snapshot
    span: point_in_time.Span

    def versions(self) -> dict[str, int]:
        """Return the Delta version of each table read."""
        return self.snapshot.versions()

    def verdicts(self, as_of_us: int | None) -> pa.Table:
        """Return the verdicts known before a moment (None: now)."""
        return point_in_time.verdicts(self.snapshot, as_of_us)

    def rows(self, split: Split, progress: Callable[[str, int], None]) -> Rows:
        """Build all rows from the training's first day to the test's last; InputError where profiles are missing.

        `progress` is told what is being done and how many payments more are done.
        """
        start, end = split.train_us[0], split.test_us[1]
        newest = profile_day(min(end - 1, self.span.last_event_time))
        for mart, day in (("card", self.span.card_day), ("acceptor", self.span.acceptor_day)):
            reached = to_day(day) if day else None
            if reached is None or reached < newest:
                raise InputError(
                    f"the daily {mart} profiles reach to {day or 'nowhere'}, the test to {split.test_to}: run "
                    "`make refresh` (or `dbt build` in dbt_project), or test on an earlier period"
                )
        replaying = partial(progress, "replaying windows")
        replaying(0)
        windows = replay(self.snapshot, start, end, replaying)
        payments = attach(point_in_time.payments(self.snapshot, start, end), windows)
        return collect(payments, split.test_us[0], partial(progress, "building rows"))

    def split(
        self,
        train_from: date | None = None,
        train_to: date | None = None,
        delay_days: int | None = None,
        test_from: date | None = None,
        test_to: date | None = None,
    ) -> Split:
        """Return the given periods, what is left out from what the lake covers; InputError if it is too small."""
        delay = definitions().label_delay_days if delay_days is None else delay_days
        if train_from and train_to and test_from and test_to:
            return Split(train_from, train_to, delay, test_from, test_to)
        if train_to and not test_from:
            test_from = train_to + timedelta(days=delay + 1)
        if test_from and not train_to:
            train_to = test_from - timedelta(days=delay + 1)
        first, last = periods.busiest(self.payments_per_day())
        usual = periods.default(train_from or first, test_to + timedelta(days=delay) if test_to else last, delay)
        return Split(
            train_from or usual.train_from,
            train_to or usual.train_to,
            delay,
            test_from or usual.test_from,
            test_to or usual.test_to,
        )

    def payments_per_day(self) -> dict[date, int]:
        """Return event day to number of payments."""
        days = reading.read(self.snapshot.tables[TRANSACTIONS], ["event_day"])["event_day"]
        return {each["values"]: each["counts"] for each in days.value_counts().to_pylist()}


def connect() -> Source:
    """Pin the lake's tables now."""
    snapshot = point_in_time.pin()
    return Source(snapshot, point_in_time.span(snapshot))
