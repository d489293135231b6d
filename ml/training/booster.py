"""The LightGBM model: bins for amounts and length of the training window chosen on validation, then fitted once more.

No class weights: they gain nothing and cost calibration. Deterministic: the same rows give the same model.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from errors import InputError
from features import FEATURES, NAMES, Group
from ml.dataset.vectors import Matrix
from ml.metrics import FALSE_POSITIVE_RATE, measure, threshold_at

ROUNDS = 600
PATIENCE = 40
BINS = (255, 1023)
"""For amounts; everything else has few values or needs no more than 255."""
AMOUNTS = frozenset(f.name for f in FEATURES if f.unit == "reporting_currency" or f.name == "amount_vs_avg_ratio")
WINDOWS = (1.0, 0.5)
"""Shares of the training period, counted from its end."""

MANY = 1_000_000

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """What validation chose: bins, share of the period, rounds; the threshold, and what it was chosen from."""

    max_bin: int
    window: float
    rounds: int
    threshold: float
    average_precision: float
    tried: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Sample:
    """Rows to fit or to validate: X (n, features), fraud (n,), event_time (n,) microseconds, ascending."""

    X: Matrix
    fraud: Flags
    event_time: NDArray[np.int64]

    def newest(self, window: float) -> "Sample":
        """Return the last `window` share of the period."""
        first, last = self.event_time[[0, -1]]
        start = int(np.searchsorted(self.event_time, last - window * (last - first)))
        return Sample(self.X[start:], self.fraud[start:], self.event_time[start:])

    def without(self, group: Group) -> "Sample":
        """Return the rows with a group's columns all missing: no tree can split on them, whatever rows it predicts."""
        X = self.X.copy()
        X[:, [feature.group is group for feature in FEATURES]] = np.nan
        return Sample(X, self.fraud, self.event_time)


def parameters(max_bin: int, rows: int) -> dict[str, Any]:
    """Return LightGBM's parameters; `max_bin` is for amounts."""
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": 0.05,
        "num_leaves": 15,
        "min_data_in_leaf": 50,
        "lambda_l2": 1.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "max_bin_by_feature": [max_bin if name in AMOUNTS else min(max_bin, BINS[0]) for name in NAMES],
        "seed": 7,
        "deterministic": True,
        "force_row_wise": True,
        # Its threads wait for each other busily: on a machine that has other work, one is faster on a small set.
        "num_threads": 1 if rows < MANY else os.cpu_count() or 1,
        "verbosity": -1,
    }


def choose(fit: Sample, validation: Sample, progress: Callable[[str], None] = lambda _: None) -> Choice:
    """Fit with each number of bins, then with each window, and keep what scores best on the later `validation`.

    The threshold is the lowest that flags at most 2 % of the genuine payments of the validation. InputError if `fit`
    has but one class.
    """
    best: Choice | None = None
    tried: list[dict[str, float]] = []
    for max_bin, window in [(bins, WINDOWS[0]) for bins in BINS] + [(0, window) for window in WINDOWS[1:]]:
        bins = max_bin or (best.max_bin if best else BINS[0])
        progress(f"{bins} bins, {window:.0%} of the period")
        sample = fit.newest(window)
        if not 0 < sample.fraud.sum() < len(sample.fraud):
            continue
        booster = _fit_early(sample, validation, bins)
        score = np.asarray(booster.predict(validation.X))
        nobody = np.zeros(len(score), np.int64)
        found = measure(validation.fraud, score, nobody, nobody, 1)
        tried.append(
            {
                "max_bin": bins,
                "window": window,
                "rounds": booster.best_iteration,
                "average_precision": found.average_precision,
                "recall": found.recall,
            }
        )
        if best is None or found.average_precision > best.average_precision:
            threshold = threshold_at(validation.fraud, score, FALSE_POSITIVE_RATE)
            best = Choice(bins, window, booster.best_iteration, threshold, found.average_precision, ())
    if best is None:
        raise InputError(
            "no part of the training period has both fraud and genuine payments before its validation: train on more "
            "days (`python -m ml train --help`)"
        )
    return replace(best, tried=tuple(tried))


def fit_final(train: Sample, choice: Choice) -> lgb.Booster:
    """Fit the chosen model on the whole training period, validation included: the newest fraud teaches most."""
    sample = train.newest(choice.window)
    data, settings = _dataset(sample, choice.max_bin)
    return lgb.train(settings, data, num_boost_round=choice.rounds)


def _fit_early(fit: Sample, validation: Sample, max_bin: int) -> lgb.Booster:
    data, settings = _dataset(fit, max_bin)
    return lgb.train(
        settings,
        data,
        num_boost_round=ROUNDS,
        valid_sets=[lgb.Dataset(validation.X, validation.fraud.astype(np.float32), reference=data)],
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
    )


def _dataset(sample: Sample, max_bin: int) -> tuple[lgb.Dataset, dict[str, Any]]:
    settings = parameters(max_bin, len(sample.X))
    return lgb.Dataset(sample.X, sample.fraud.astype(np.float32), feature_name=list(NAMES), params=settings), settings
