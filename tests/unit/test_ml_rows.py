"""Rows for training come from the one builder, in order, with what they lose."""

import numpy as np
import pyarrow as pa
import pytest

import ml.parallel
from errors import InputError
from features import (
    ACCEPTOR_COLUMNS,
    CARD_COLUMNS,
    DAY_US,
    NAMES,
    NOT_ATTEMPTS,
    Profile,
    Status,
    Window,
    build,
    observe,
    windowed,
)
from ml.dataset.masking import CASES, Masked, mask
from ml.dataset.rows import collect
from ml.dataset.vectors import OPTIONAL, WINDOW_COLUMNS, vectors
from tests.unit.ml_tables import FIRST_US, table

CARD, WINDOW = (slice(NAMES.index(names[0]), NAMES.index(names[-1]) + 1) for names in (CARD_COLUMNS, WINDOW_COLUMNS))
MERCHANT_COUNT, MERCHANT_RISK = NAMES.index("merchant_tx_count_7d"), NAMES.index("merchant_risk_7d")


def test_each_row_is_what_the_builder_says():
    """A row with both profiles and its window equals features.build on its record, to the bit."""
    found, _ = table(50)
    row = found.slice(1, 1).to_pylist()[0]
    card, acceptor, window = (
        Profile(Status.FRESH, tuple(row[n] for n in names))
        for names in (CARD_COLUMNS, ACCEPTOR_COLUMNS, WINDOW_COLUMNS)
    )
    X = vectors(found, np.zeros(50, np.int8))
    assert np.array_equal(X[1], build(row, card, acceptor, window).to_array(), equal_nan=True)


def test_new_absent_and_unreachable_differ():
    """No row on a fresh day: counts 0. No acceptor, a payment too late for its window, a store away: all missing."""
    found, _ = table(50)
    X = vectors(found, np.zeros(50, np.int8))
    assert X[10, NAMES.index("card_tx_count_7d")] == 0, "a new card"
    assert np.isnan(X[11, MERCHANT_COUNT]), "a payment without an acceptor"
    assert np.isnan(X[13, WINDOW]).all(), "a payment that came too late"
    assert not np.isnan(X[14, WINDOW]).any()
    behind = vectors(found, np.full(50, Masked.WINDOW, np.int8))
    assert np.isnan(behind[:, WINDOW]).all()
    assert np.array_equal(behind[:, CARD], X[:, CARD], equal_nan=True)
    away = vectors(found, np.full(50, Masked.CARD | Masked.ACCEPTOR, np.int8))
    assert np.isnan(away[:, CARD]).all()
    assert np.isnan(away[:, [MERCHANT_COUNT, MERCHANT_RISK]]).all()
    assert np.array_equal(away[:, :10], X[:, :10], equal_nan=True), "the payment's own features stay"
    bare = vectors(found, np.full(50, Masked.FIELDS, np.int8))
    assert np.isnan(bare[:, NAMES.index("mcc_group")]).all()
    assert np.array_equal(bare[:, CARD], X[:, CARD], equal_nan=True)


def test_a_payment_without_optional_fields_has_the_window_that_serving_gives_it():
    """What a window cannot tell without entry mode and category is missing with them, and nothing else of it is."""
    found, _ = table(50)
    row, seen = found.slice(1, 1).to_pylist()[0], Window()
    observe(seen, row | {"transaction_id": "before", "entry_mode": "chip", "latitude": 41.0, "longitude": -74.0})
    bare = windowed(row | dict.fromkeys(OPTIONAL) | {"latitude": 48.0, "longitude": 2.0}, seen)
    lost = vectors(found, np.full(50, Masked.FIELDS, np.int8))[1, WINDOW]
    assert np.isnan(lost).nonzero()[0].tolist() == np.isnan(bare.values).nonzero()[0].tolist()


def test_null_in_gold_is_nan():
    """SQL NULL (an average over no payments) reaches the model as NaN, not as 0."""
    found, _ = table(20)
    place = found.column_names.index("card_avg_amount_1d")
    found = found.set_column(place, "card_avg_amount_1d", pa.nulls(20, pa.float64()))
    assert np.isnan(vectors(found, np.zeros(20, np.int8))[:, NAMES.index("card_avg_amount_1d")]).all()


def test_training_rows_are_masked_and_the_others_are_not():
    """for_training takes away exactly what `mask` says, in any part; X itself stays whole."""
    found, _ = table(3_000)
    rows = collect([found.slice(i, 700) for i in range(0, 3_000, 700)], FIRST_US + 30 * DAY_US)
    whole = vectors(found, np.zeros(3_000, np.int8))
    assert np.array_equal(rows.X, whole, equal_nan=True)
    part = slice(500, 2_500)
    flags = np.array([mask("shop", f"t{i}") for i in range(500, 2_500)])
    masked = rows.for_training(part)
    assert np.array_equal(masked[flags == 0], whole[part][flags == 0], equal_nan=True)
    for case, columns in ((Masked.CARD, CARD), (Masked.WINDOW, WINDOW)):
        assert np.isnan(masked[(flags & case) > 0][:, columns]).all()
    assert np.array_equal(rows.X, whole, equal_nan=True)


def test_outage_matrices_cover_the_test_period():
    """For every outage there is one row for each payment from the test's beginning on."""
    found, _ = table(3_000)
    start = FIRST_US + 30 * DAY_US
    rows = collect([found], start)
    late = rows.between(start, FIRST_US + 40 * DAY_US)
    assert rows.outages_from == late.start
    assert set(rows.outages) == set(CASES.values())
    assert {X.shape for X in rows.outages.values()} == {(late.stop - late.start, len(NAMES))}


def test_other_processes_build_the_same(monkeypatch):
    """Large sets are built by several processes, in order, to the bit as by one."""
    found, _ = table(9_000)
    alone = collect([found], FIRST_US)
    monkeypatch.setattr(ml.parallel, "CHUNK", 1_000)
    monkeypatch.setattr(ml.parallel, "ALONE", 2_000)
    together = collect([found.slice(i, 500) for i in range(0, 9_000, 500)], FIRST_US)
    assert np.array_equal(alone.X, together.X, equal_nan=True)
    assert np.array_equal(alone.masked_at, together.masked_at)
    assert np.array_equal(alone.masked, together.masked, equal_nan=True)
    assert alone.key.equals(together.key)
    assert np.array_equal(alone.card, together.card)


def test_refunds_are_not_scored():
    """Refunds and reversals never become rows; a lake of nothing else is an error that says what to do."""
    found, _ = table(20)
    kinds = pa.array(["authorization", *NOT_ATTEMPTS, *["advice"] * 17])
    found = found.set_column(found.column_names.index("message_type"), "message_type", kinds)
    assert len(collect([found], FIRST_US).X) == 18
    with pytest.raises(InputError, match="no payments"):
        collect([found.slice(1, 2)], FIRST_US)
