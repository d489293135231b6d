"""Reads from Gold what belongs online: the rows of the newest published day, as packed values."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epoch import from_day, to_day, to_us
from errors import InputError
from features import profile_day
from lake import reading
from lake.tables import CARD_FEATURES, MERCHANT_RISK, TRANSACTIONS, Table
from serving.online.packing import Kind, pack

TABLES: dict[Kind, tuple[Table, str]] = {
    Kind.CARD: (CARD_FEATURES, "card_id"),
    Kind.ACCEPTOR: (MERCHANT_RISK, "acceptor_id"),
}


@dataclass(frozen=True)
class Rows:
    """Rows of one kind and day: keys and packed values beside each other, and what the meta value will say."""

    keys: list[bytes]
    values: list[bytes]
    day: int
    mark_us: int


def clock() -> datetime:
    """Return the platform's clock: the newest event_time in Silver. A replayed file lives in its own time."""
    table = reading.open_table(TRANSACTIONS)
    day = reading.newest_day(table, "event_day")
    if day is None:
        raise InputError(f"{TRANSACTIONS} is empty: nothing can be published; ingest payments and run `dbt build`")
    newest = reading.read(table, ["event_time"], [("event_day", "=", day)])
    found: datetime = pc.max(newest["event_time"]).as_py()
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def rows(kind: Kind, now: datetime, after_us: int | None = None) -> Rows | None:
    """Return the rows of the newest day published at `now`, one an entity; None when Gold has no such day.

    That day alone belongs online: an entity without a row on it is new or dormant, and an older row of it would be
    read as just that. `after_us`: only rows written after this mark (microseconds), None for all; `mark_us` of the
    answer is that of all rows of the day.
    """
    source, entity = TABLES[kind]
    table = reading.open_table(source)
    published = from_day(profile_day(to_us(now)))
    newest = reading.newest_day(table, "as_of_day", published)
    if newest is None:
        return None
    columns = [entity, "updated_at", "profile_version", *kind.columns]
    found = reading.read(table, columns, [("as_of_day", "=", newest)])
    updated = found["updated_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    mark = int(updated.max()) if len(updated) else 0
    if after_us is not None:
        found = found.filter(pa.array(updated > after_us))
    numbers = [found[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in kind.columns]  # NULL is NaN
    day = to_day(newest)
    versions = found["profile_version"].to_numpy()
    values = pack(kind, np.full(len(versions), day, np.int32), versions, np.column_stack(numbers))
    keys = [kind.prefix + each.encode() for each in found[entity].to_pylist()]
    return Rows(keys, values, day, mark)


def batches(rows: Rows, size: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield keys and values, `size` at a time."""
    for start in range(0, len(rows.keys), size):
        yield rows.keys[start : start + size], rows.values[start : start + size]
