"""From point-in-time rows, as Arrow, to the model's matrix: each row through `features.build`, the only builder."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import schemas
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, NAMES, WINDOW, FeatureVector, Profile, Status, build
from ml.dataset.masking import Masked

WINDOW_COLUMNS = tuple(feature.name for feature in WINDOW)
OPTIONAL = ("utc_offset_min", "mcc", "merchant_country", "card_country", "entry_mode", "authentication")
COMPARED = tuple(WINDOW_COLUMNS.index(name) for name in ("geo_velocity_kmh", "high_risk_merchant_count_1hr"))
"""Of a window, what is missing when the payment itself lacks entry mode or category."""
ABSENT = Profile(Status.ABSENT)
NEW = Profile(Status.NEW)
UNREACHABLE = Profile(Status.UNREACHABLE)

Matrix = NDArray[np.float32]


def vectors(table: pa.Table, masked: NDArray[np.int8]) -> Matrix:
    """Build the matrix (n, features) of point-in-time rows; `masked` (n,) says what each is built without (`Masked`).

    `table` is as `lake.point_in_time.payments` has it, with the windows that `ml.dataset.window_replay.attach` adds.
    """
    X = np.empty((table.num_rows, len(NAMES)), np.float32)
    for i, vector in enumerate(_built(table, masked)):
        X[i] = vector.to_array()
    return X


def values(table: pa.Table) -> NDArray[np.float64]:
    """Return the features (n, features) of such rows as float64, as they are before a model takes them."""
    built = _built(table, np.zeros(table.num_rows, np.int8))
    return np.array([vector.values for vector in built], np.float64).reshape(-1, len(NAMES))


def _built(table: pa.Table, masked: NDArray[np.int8]) -> Iterator[FeatureVector]:
    names = [f["name"] for f in schemas.parsed("transaction")["fields"]]
    payments = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    columns = (CARD_COLUMNS, ACCEPTOR_COLUMNS, WINDOW_COLUMNS)
    groups = zip(*(_profiles(table, group) for group in columns), strict=True)
    window_status = map(Status, table.column("window_status").to_pylist())
    found = (table.column(name).is_valid().to_pylist() for name in ("card_as_of_day", "acceptor_as_of_day"))
    named = table.column("acceptor_id").is_valid().to_pylist()
    rows = zip(payments, groups, zip(*found, strict=True), named, window_status, masked.tolist(), strict=True)
    for fields, (card, acceptor, window), (has_card, has_acceptor), is_named, status, out in rows:
        payment: dict[str, Any] = dict(zip(names, fields, strict=True))
        if out & Masked.FIELDS:
            payment.update(dict.fromkeys(OPTIONAL))
            for place in COMPARED:
                window[place] = np.nan
        yield build(
            payment,
            _profile(card, found=has_card, reachable=not out & Masked.CARD),
            _profile(acceptor, found=has_acceptor, reachable=not out & Masked.ACCEPTOR) if is_named else ABSENT,
            UNREACHABLE if out & Masked.WINDOW else Profile(status, tuple(window)),
        )


def _profile(values: list[float], *, found: bool, reachable: bool) -> Profile:
    if not reachable:
        return UNREACHABLE
    return Profile(Status.FRESH, tuple(values)) if found else NEW


def _profiles(table: pa.Table, columns: tuple[str, ...]) -> list[list[float]]:
    """Return rows of floats; SQL NULL becomes NaN."""
    arrays = [pc.fill_null(table.column(c).cast(pa.float64()), np.nan).to_numpy() for c in columns]
    found: list[list[float]] = np.column_stack(arrays).tolist()
    return found
