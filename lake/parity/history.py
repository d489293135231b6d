"""Gold's profile rows as they are now, and as they were when an earlier run of dbt had just written them."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from clients import delta
from epoch import from_day
from errors import DeniedError, UnreachableError
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, Group, Profile, Status
from lake import reading
from lake.tables import CARD_FEATURES, MERCHANT_RISK, Table

NEXT = 4
"""Commits looked at for what a run wrote: another run may have committed between its beginning and its own commit."""
PROFILES: dict[Group, tuple[Table, str, tuple[str, ...]]] = {
    Group.CARD: (CARD_FEATURES, "card_id", CARD_COLUMNS),
    Group.ACCEPTOR: (MERCHANT_RISK, "acceptor_id", ACCEPTOR_COLUMNS),
}


class Unavailable:
    """What cannot be known any more: Delta has dropped the version that had it."""


UNAVAILABLE = Unavailable()
Found = Profile | Unavailable | None


class History:
    """Gold at its pinned version and, by Delta's time travel, at those before; each day's rows are read once."""

    def __init__(self, tables: Mapping[Table, DeltaTable]) -> None:
        """Use `tables`, which have those of PROFILES."""
        self._tables = tables
        self._days: dict[tuple[Group, int, int], pa.Table] = {}
        self._commits: dict[Group, list[tuple[int, int]]] = {}

    def now(self, group: Group, entity: str, day: int) -> Profile | None:
        """Return the row that an entity has now for a day (since 1970); None if it has none."""
        return self._row(group, self._tables[PROFILES[group][0]], entity, day)

    def written(self, group: Group, entity: str, day: int, version: int) -> Found:
        """Return the row that an entity had for a day when the run `version` (UTC ms of its beginning) had written.

        None if it had none then; UNAVAILABLE if no version of the table has what that run wrote on that day.
        """
        present = self._tables[PROFILES[group][0]]
        versions, found = self._versions(group, present, day), self.now(group, entity, day)
        if version in versions and (version == max(versions) or (found is not None and found.version == version)):
            return found  # nothing was written after that run, to the day or to the row
        for commit in [number for number, at_ms in self._log(group) if at_ms >= version][:NEXT]:
            opened = self._at(group, commit)
            if opened is None or version not in self._versions(group, opened, day):
                continue
            found = self._row(group, opened, entity, day)
            if found is None or (found.version or 0) <= version:  # a newer one: this commit comes after another run's
                return found
        return UNAVAILABLE

    def _log(self, group: Group) -> list[tuple[int, int]]:
        """Return number and UTC ms of the table's commits, oldest first."""
        if group not in self._commits:
            opened = self._tables[PROFILES[group][0]]
            try:
                log = opened.history()
            except (DeltaError, OSError) as error:
                raise reading.mapped(error, f"the history of {PROFILES[group][0]}") from error
            self._commits[group] = sorted((int(each["version"]), int(each["timestamp"])) for each in log)
        return self._commits[group]

    def _at(self, group: Group, commit: int) -> DeltaTable | None:
        """Open a table at a commit; None if its files are gone."""
        present = self._tables[PROFILES[group][0]]
        if commit == present.version():
            return present
        try:
            return DeltaTable(present.table_uri, version=commit, storage_options=delta.options())
        except (DeltaError, OSError) as error:
            away = reading.mapped(error, f"{PROFILES[group][0]} at version {commit}")
            if isinstance(away, (UnreachableError, DeniedError)):
                raise away from error
            return None

    def _versions(self, group: Group, opened: DeltaTable, day: int) -> set[int]:
        return set(pc.unique(self._read(group, opened, day)["profile_version"]).to_pylist())

    def _row(self, group: Group, opened: DeltaTable, entity: str, day: int) -> Profile | None:
        _, key, columns = PROFILES[group]
        rows = self._read(group, opened, day)
        rows = rows.filter(pc.equal(rows[key], entity))
        if not rows.num_rows:
            return None
        values = tuple(np.nan if (value := rows[name][0].as_py()) is None else float(value) for name in columns)
        return Profile(Status.FRESH, values, day, int(rows["profile_version"][0].as_py()))

    def _read(self, group: Group, opened: DeltaTable, day: int) -> pa.Table:
        _, key, columns = PROFILES[group]
        place = (group, opened.version(), day)
        if place not in self._days:
            wanted: reading.Filters = [("as_of_day", "=", from_day(day))]
            self._days[place] = reading.read(opened, [key, "profile_version", *columns], wanted)
        return self._days[place]
