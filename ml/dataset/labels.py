"""What was known of each payment at a moment: training sees only verdicts known before its T."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import DAY_US
from ml.dataset.rows import Rows, keys

NEVER = 2**62


def frauds(verdicts: pa.Table) -> pa.Table:
    """Return the payments whose verdict is fraud: columns key and known_at (int64 microseconds UTC).

    `verdicts` (source, transaction_id, verdict, known_at), one a payment, are those of a moment: see
    `lake.point_in_time.verdicts`.
    """
    found = verdicts.filter(pc.equal(verdicts.column("verdict"), "fraud"))
    return pa.table({"key": keys(found), "known_at": found.column("known_at").combine_chunks()})


def is_fraud(rows: Rows, known: pa.Table) -> NDArray[np.bool_]:
    """Return for each row whether it is among the `known` frauds, shape (n,)."""
    flags: NDArray[np.bool_] = pc.is_in(rows.key, value_set=known.column("key").combine_chunks()).to_numpy(False)
    return flags


def compromised(rows: Rows, known: pa.Table) -> NDArray[np.bool_]:
    """Return for each row whether its card was known as compromised before the row's day began, shape (n,).

    A card is known by a fraud among `rows` (so with an event_time since their beginning) whose verdict was known.
    """
    place = pc.index_in(rows.key, value_set=known.column("key").combine_chunks()).fill_null(-1).to_numpy(False)
    found = np.flatnonzero(place >= 0)
    earliest = np.full(int(rows.card.max()) + 1, NEVER, np.int64)
    np.minimum.at(earliest, rows.card[found], known.column("known_at").to_numpy()[place[found]])
    flags: NDArray[np.bool_] = earliest[rows.card] < rows.event_time // DAY_US * DAY_US
    return flags
