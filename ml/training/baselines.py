"""What the model must beat: the prevalence, the amount, a rule of two terms, logistic regression, a random forest."""

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from features import NAMES
from ml.dataset.vectors import Matrix
from ml.training.booster import Sample

AMOUNT, NIGHT = NAMES.index("amount"), NAMES.index("is_night")
MOST = 200_000
"""Rows that logistic regression and the forest are fitted on; more change their last digits, not their place."""
FOREST = 40_000
"""Rows that each tree of the forest draws."""

Scorer = Callable[[Matrix], NDArray[np.floating]]


def prevalence(train: Sample) -> Scorer:
    """Give everyone the share of fraud in training."""
    share = float(train.fraud.mean())
    return lambda X: np.full(len(X), share)


def amount(_: Sample) -> Scorer:
    """Rank by the amount."""
    return lambda X: np.nan_to_num(X[:, AMOUNT])


def amount_by_night(_: Sample) -> Scorer:
    """Rank by the amount, which counts tenfold at night."""
    return lambda X: np.nan_to_num(X[:, AMOUNT]) * (1 + 9 * X[:, NIGHT])


def logistic_regression(train: Sample) -> Scorer:
    """Fit logistic regression on scaled values, medians and flags for the missing ones."""
    steps = (
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=300),
    )
    return _fitted(make_pipeline(*steps), train)


def random_forest(train: Sample) -> Scorer:
    """Fit a random forest."""
    sample = min(FOREST, len(train.X[:: _step(train)]))
    forest = RandomForestClassifier(100, min_samples_leaf=5, max_samples=sample, n_jobs=os.cpu_count(), random_state=7)
    return _fitted(forest, train)


BASELINES: dict[str, Callable[[Sample], Scorer]] = {
    "prevalence": prevalence,
    "amount": amount,
    "amount x night": amount_by_night,
    "logistic regression": logistic_regression,
    "random forest": random_forest,
}


def _step(train: Sample) -> int:
    return -(-len(train.X) // MOST)


def _fitted(model: Pipeline | RandomForestClassifier, train: Sample) -> Scorer:
    step = _step(train)
    model.fit(train.X[::step].astype(np.float64), train.fraud[::step])
    return lambda X: model.predict_proba(X.astype(np.float64))[:, 1]
