"""ONNX and LightGBM's text say the same of every row."""

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ModelError
from ml.registry.artifacts import compare
from ml.training.export import floor_thresholds, to_onnx, to_text
from scoring.manifest import ONNX_FILE, TEXT_FILE
from scoring.model import INPUT, PROBABILITIES, open_session
from scoring.trees import floor32

EQUAL = 1e-6
QUIET = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 3, "min_data_in_leaf": 5}


def amounts(n: int, seed: int = 1) -> np.ndarray:
    """Rows of amounts in cents (many neighbours in float32), a flag, and a column that is often missing."""
    random = np.random.default_rng(seed)
    X = np.column_stack([random.integers(1, 60_000, n) / 100, random.integers(0, 2, n), random.normal(0, 1, n)])
    X[random.random(n) < 0.2, 2] = np.nan
    return X.astype(np.float32)


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    """A model with many thresholds between neighbouring amounts."""
    X = amounts(20_000)
    y = (np.sin(X[:, 0] * 3) + X[:, 1] + np.nan_to_num(X[:, 2]) > 1).astype(float)
    return lgb.train(QUIET | {"max_bin": 4_000, "min_data_in_bin": 1, "num_leaves": 63}, lgb.Dataset(X, y), 80)


def onnx_scores(booster: lgb.Booster, X: np.ndarray) -> np.ndarray:
    return open_session(to_onnx(booster), booster.num_feature()).run([PROBABILITIES], {INPUT: X})[0]


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
def test_flooring_changes_no_decision(threshold, x):
    """For every float32 x and double t: x <= t exactly when x <= floor32(t), which is itself a float32."""
    floored = floor32(np.array([threshold]))[0]
    assert (x <= threshold) == (x <= floored)
    assert np.float64(np.float32(floored)) == floored


def test_floored_booster_is_the_same_model(booster):
    """Flooring changes no score, not by a bit, and the text form loads again."""
    X = amounts(30_000, seed=2)
    floored = floor_thresholds(booster)
    assert floored.num_trees() == booster.num_trees()
    assert np.array_equal(booster.predict(X), floored.predict(X))
    assert "threshold=" in to_text(floored).decode()
    assert to_text(floored) != to_text(booster), "nothing to floor: this test would prove nothing"


def test_onnx_equals_the_booster_on_every_row(booster):
    """Floored, no row differs by more than 1e-6, those exactly on a threshold included; unfloored, some rows do."""
    tree = booster.trees_to_dataframe()
    edges = tree.loc[tree["split_feature"] == "Column_0", "threshold"].to_numpy()
    at = np.repeat(amounts(1), 3 * len(edges), axis=0)
    near = edges.astype(np.float32)
    at[:, 0] = np.r_[near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(1e9))]
    X = np.concatenate([amounts(30_000, seed=2), at])
    floored = floor_thresholds(booster)
    assert np.abs(onnx_scores(floored, X)[:, 1] - booster.predict(X)).max() < EQUAL
    assert np.abs(onnx_scores(booster, X)[:, 1] - booster.predict(X)).max() > 1e-3, "the trap is gone: simplify export"


def test_missing_values_follow_the_booster():
    """NaN where none was in training (read as 0.0) and where some were (a learned direction) score alike."""
    X = amounts(5_000)
    X[:, 0] -= 300
    y = (X[:, 0] > 20).astype(float)
    floored = floor_thresholds(lgb.train(QUIET, lgb.Dataset(X, y), 20))
    holes = amounts(3_000, seed=9)
    for column in range(3):
        holes[column::4, column] = np.nan
    assert np.abs(onnx_scores(floored, holes)[:, 1] - floored.predict(holes)).max() < EQUAL


def test_batch_and_single_rows_agree(booster):
    """A row scores the same bits alone and among others, and the two columns add up to one."""
    X = amounts(500, seed=4)
    floored = floor_thresholds(booster)
    run = open_session(to_onnx(floored), floored.num_feature())
    batch = run.run([PROBABILITIES], {INPUT: X})[0]
    single = np.concatenate([run.run([PROBABILITIES], {INPUT: X[i : i + 1]})[0] for i in range(len(X))])
    assert batch.shape == (500, 2)
    assert np.array_equal(batch, single)
    assert np.allclose(batch.sum(axis=1), 1, atol=1e-6)


def test_a_difference_is_refused(booster):
    """Files that disagree never leave training."""
    other = lgb.train(QUIET, lgb.Dataset(amounts(2_000), np.arange(2_000) % 2), 5)
    files = {ONNX_FILE: to_onnx(floor_thresholds(booster)), TEXT_FILE: to_text(other)}
    with pytest.raises(ModelError, match="differ"):
        compare(files, amounts(100))


def test_other_kinds_of_model_are_refused():
    """A regression, or a split by category, is refused in words instead of being exported wrongly."""
    X = amounts(2_000)
    with pytest.raises(ModelError, match="binary"):
        to_onnx(lgb.train(QUIET | {"objective": "regression"}, lgb.Dataset(X, X[:, 0]), 3))
    categories = lgb.Dataset(X[:, 1:2].astype(int), X[:, 1] > 0, categorical_feature=[0])
    with pytest.raises(ModelError, match="cannot be exported"):
        to_onnx(lgb.train(QUIET | {"min_data_per_group": 1}, categories, 3))
