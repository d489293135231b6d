"""Reads from Gold what belongs online: each entity's newest published row, as packed values."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from errors import InputError
from lake import reading
from lake.tables import CARD_FEATURES, MERCHANT_RISK, TRANSACTIONS, Table
from serving.packing import Kind, pack

EPOCH = date(1970, 1, 1)
KEPT_DAYS = 45
"""Rows older than this are nobody's any more: an entity not seen for 40 days has none."""
TABLES: dict[Kind, tuple[Table, str]] = {
    Kind.CARD: (CARD_FEATURES, "card_id"),
    Kind.ACCEPTOR: (MERCHANT_RISK, "acceptor_id"),
}


@dataclass(frozen=True)
class Rows:
    """Newest published rows of one kind: keys and packed values beside each other, and what the meta value will say."""

    keys: list[bytes]
    values: list[bytes]
    day: int
    mark_us: int


def clock() -> datetime:
    """Return the platform's clock: the newest event_time in Silver. A replayed file lives in its own time."""
    table = reading.open_table(TRANSACTIONS)
    days = [part["event_day"] for part in table.partitions()]
    if not days:
        raise InputError(f"{TRANSACTIONS} is empty: nothing can be published; ingest payments and run `dbt build`")
    newest = reading.read(table, ["event_time"], [("event_day", "=", max(days))])
    found: datetime = pc.max(newest["event_time"]).as_py()
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def rows(kind: Kind, now: datetime, after_us: int | None = None) -> Rows | None:
    """Return each entity's newest row available at `now`; None when Gold has no row that is.

    `after_us`: only entities whose newest row was written after this mark (microseconds), None for all. The day and
    the mark are those of all rows, pushed or not.
    """
    source, entity = TABLES[kind]
    oldest = now.date() - timedelta(days=KEPT_DAYS)
    columns = [entity, "as_of_day", "available_at", "updated_at", "profile_version", *kind.columns]
    found = reading.read(source, columns, [("as_of_day", ">=", oldest)])
    found = found.filter(pc.less_equal(found["available_at"], pa.scalar(now, found["available_at"].type)))
    if not found.num_rows:
        return None
    days = _days(found)
    updated = found["updated_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    chosen = _newest_of_each(found[entity], days)
    if after_us is not None:
        chosen = chosen[updated[chosen] > after_us]
    picked = found.take(pa.array(chosen))
    numbers = [picked[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in kind.columns]
    values = pack(kind, days[chosen], picked["profile_version"].to_numpy(), np.column_stack(numbers))
    prefix = kind.prefix
    keys = [prefix + entity_id.encode() for entity_id in picked[entity].to_pylist()]
    return Rows(keys, values, int(days.max()), int(updated.max()))


def batches(rows: Rows, size: int) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield keys and values, `size` at a time."""
    for start in range(0, len(rows.keys), size):
        yield rows.keys[start : start + size], rows.values[start : start + size]


def _days(table: pa.Table) -> NDArray[np.int32]:
    return table["as_of_day"].cast(pa.date32()).cast(pa.int32()).to_numpy()  # type: ignore[no-any-return]


def _newest_of_each(entities: pa.ChunkedArray, days: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the position of each entity's row of the newest day."""
    codes = entities.combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((days, codes))
    last = np.append(codes[order][1:] != codes[order][:-1], True)
    return order[last]  # type: ignore[no-any-return]
