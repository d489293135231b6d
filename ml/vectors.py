"""From point-in-time rows, as Arrow, to the model's matrix: each row through `features.build`, the only builder."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import schemas
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, NAMES, Profile, Status, build
from ml.masking import Lost

OPTIONAL = ("utc_offset_min", "mcc", "merchant_country", "card_country", "entry_mode", "authentication")
ABSENT = Profile(Status.ABSENT)
NEW = Profile(Status.NEW)
UNREACHABLE = Profile(Status.UNREACHABLE)

Matrix = NDArray[np.float32]


def vectors(table: pa.Table, gone: NDArray[np.int8]) -> Matrix:
    """Build the matrix (n, features) of point-in-time rows; `gone` (n,) says what each is built without (`Lost`)."""
    names = [f["name"] for f in schemas.parsed("transaction")["fields"]]
    payments = zip(*(table.column(name).to_pylist() for name in names), strict=True)
    cards, acceptors = _profiles(table, CARD_COLUMNS), _profiles(table, ACCEPTOR_COLUMNS)
    found = (table.column(name).is_valid().to_pylist() for name in ("card_as_of_day", "acceptor_as_of_day"))
    named = table.column("acceptor_id").is_valid().to_pylist()
    X = np.empty((table.num_rows, len(NAMES)), np.float32)
    rows = zip(payments, cards, acceptors, zip(*found, strict=True), named, gone.tolist(), strict=True)
    for i, (values, card, acceptor, (has_card, has_acceptor), is_named, out) in enumerate(rows):
        payment: dict[str, Any] = dict(zip(names, values, strict=True))
        if out & Lost.FIELDS:
            payment.update(dict.fromkeys(OPTIONAL))
        X[i] = build(
            payment,
            _profile(card, found=has_card, reachable=not out & Lost.CARD),
            _profile(acceptor, found=has_acceptor, reachable=not out & Lost.ACCEPTOR) if is_named else ABSENT,
        ).to_array()
    return X


def _profile(values: list[float], *, found: bool, reachable: bool) -> Profile:
    if not reachable:
        return UNREACHABLE
    return Profile(Status.FRESH, tuple(values)) if found else NEW


def _profiles(table: pa.Table, columns: tuple[str, ...]) -> list[list[float]]:
    """Return rows of floats; SQL NULL becomes NaN."""
    arrays = [pc.fill_null(table.column(c).cast(pa.float64()), np.nan).to_numpy() for c in columns]
    found: list[list[float]] = np.column_stack(arrays).tolist()
    return found
