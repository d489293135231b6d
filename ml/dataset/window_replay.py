"""What the window of each payment's card said when the payment arrived: the live state machine, over Bronze."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.arrival import observed
from errors import ServerError
from features import NOT_ATTEMPTS, Group, Status, Window, blank, observe, windowed
from lake.point_in_time import Snapshot
from ml.dataset import card_records
from ml.dataset.rows import keys
from ml.dataset.vectors import WINDOW_COLUMNS
from ml.parallel import map_chunks

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("transaction_id", pa.string()),
        ("window_status", pa.string()),
        *((name, pa.float64()) for name in WINDOW_COLUMNS),
    ]
)


def replay(
    snapshot: Snapshot, start_us: int, end_us: int, progress: Callable[[int], None] = lambda _: None
) -> pa.Table:
    """Return the window of the first arrival of each payment with event_time in [start_us, end_us), in no order.

    Columns: source, transaction_id, window_status (fresh, late) and WINDOW_COLUMNS (float64; NaN where missing).
    Refunds and reversals have none. `progress` is told how many are done.
    """
    parts = [SCHEMA.empty_table()]
    for part in map_chunks(replayed, card_records.by_card(snapshot, start_us, end_us)):
        parts.append(part)
        progress(part.num_rows)
    return pa.concat_tables(parts).combine_chunks()


def replayed(records: pa.Table) -> pa.Table:
    """Return the windows of the `scored` among records of whole cards, sorted as `card_records.by_card` has them."""
    rows = zip(*(records.column(name).to_pylist() for name in card_records.OBSERVED), strict=True)
    scored, arrived = records.column("scored"), records.column("arrived_us").to_pylist()
    window, card = Window(), None
    status: list[str] = []
    values: list[tuple[float, ...]] = []
    for row, is_scored, arrived_us in zip(rows, scored.to_pylist(), arrived, strict=True):
        payment = dict(zip(card_records.OBSERVED, row, strict=True))
        if payment["card_id"] != card:
            window, card = Window(), payment["card_id"]
        event = observed(payment, arrived_us)
        if is_scored:
            found = windowed(payment, window, event=event)
            status.append(found.status.value)
            values.append(found.values if found.status is Status.FRESH else blank(Group.WINDOW, found.status))
        observe(window, payment, event)
    kept = records.select(["source", "transaction_id"]).filter(scored)
    numbers = np.array(values, np.float64).reshape(-1, len(WINDOW_COLUMNS))
    return pa.table([*kept.columns, pa.array(status, pa.string()), *map(pa.array, numbers.T)], schema=SCHEMA)


def attach(chunks: Iterable[pa.Table], windows: pa.Table) -> Iterator[pa.Table]:
    """Add to each chunk of payments its window_status and WINDOW_COLUMNS from `windows`, by source and transaction_id.

    A refund or reversal gets null. ServerError if another payment has no window: Silver comes from Bronze.
    """
    known = keys(windows)
    for chunk in chunks:
        place = pc.index_in(keys(chunk), value_set=known)
        attempts = pc.invert(pc.is_in(chunk.column("message_type"), value_set=pa.array(sorted(NOT_ATTEMPTS))))
        if missing := pc.sum(pc.and_(attempts, pc.is_null(place))).as_py():
            raise ServerError(
                f"{missing:,} of {chunk.num_rows:,} payments in silver.transactions are not in bronze.transactions, so "
                "their windows cannot be told: `python -m lake balance` says what is missing"
            )
        found = windows.select(["window_status", *WINDOW_COLUMNS]).take(place)
        yield pa.table([*chunk.columns, *found.columns], names=[*chunk.column_names, *found.column_names])
