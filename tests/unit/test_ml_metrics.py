"""Metrics against values computed by hand and by scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ml.metrics import card_ceiling, card_precision, flagged, measure, precision_at, recall_at, threshold_at


def test_card_precision_by_hand():
    """Two days, k = 2: day 0 finds one of its two fraudulent cards, day 1 its only one; the mean is one half."""
    day = np.array([0, 0, 0, 0, 1, 1, 1])
    card = np.array([1, 1, 2, 3, 1, 2, 3])
    fraud = np.array([True, False, False, True, False, True, False])
    score = np.array([0.1, 0.9, 0.8, 0.3, 0.2, 0.7, 0.1])
    assert card_precision(fraud, score, day, card, 2) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert card_ceiling(fraud, day, card, 2) == pytest.approx((2 / 2 + 1 / 2) / 2)


def test_a_card_counts_once_a_day_by_its_highest_score():
    """A card with many suspicious payments takes one of the k places, not many."""
    day, card = np.zeros(4, int), np.array([1, 1, 1, 2])
    score, fraud = np.array([0.9, 0.8, 0.7, 0.6]), np.array([False, False, True, True])
    assert card_precision(fraud, score, day, card, 2) == 1.0


def test_ties_are_shared_whatever_the_order():
    """With one score for all, k of n cards are found by chance: the expected value, in any order of rows."""
    fraud, card, day = np.array([True, False, False, False]), np.arange(4), np.zeros(4, int)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        assert card_precision(fraud[order], np.full(4, 0.5), day, card[order], 2) == pytest.approx(0.25)


def test_recall_and_threshold_by_hand():
    """Of 100 genuine payments two may be flagged: the bar is the third highest genuine score."""
    score = np.r_[np.arange(100) / 100, [0.985, 0.975, 0.965]]
    fraud = np.r_[np.zeros(100, bool), np.ones(3, bool)]
    assert recall_at(fraud, score, 0.02) == pytest.approx(2 / 3)
    assert precision_at(fraud, score, 0.02) == pytest.approx(2 / 4)
    assert math.isnan(precision_at(fraud, np.zeros(103), 0.02)), "nothing can be flagged"
    threshold = threshold_at(fraud, score, 0.02)
    assert threshold == pytest.approx(0.9725)
    assert flagged(fraud, score, threshold) == pytest.approx((2 / 3, 0.02))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=3, max_size=200))
def test_figures_agree_with_scikit_learn(pairs):
    """Average precision, ROC AUC and recall at 2 % are scikit-learn's for any scores, ties included."""
    fraud, score = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]) / 20
    nobody = np.zeros(len(fraud), int)
    found = measure(fraud, score, nobody, nobody, 1)
    if fraud.all() or not fraud.any():
        assert math.isnan(found.average_precision)
        return
    rate, caught, _ = roc_curve(fraud, score, drop_intermediate=False)
    assert found.average_precision == average_precision_score(fraud, score)
    assert found.roc_auc == roc_auc_score(fraud, score)
    assert found.recall == pytest.approx(caught[rate <= 0.02].max())
    assert flagged(fraud, score, threshold_at(fraud, score, 0.02))[0] == pytest.approx(found.recall)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_nobody_beats_the_ceiling(k, seed):
    """No scores reach more than the attainable card precision, and the truth itself reaches it."""
    random = np.random.default_rng(seed)
    fraud, score = random.random(80) < 0.2, random.random(80)
    day, card = random.integers(0, 4, 80), random.integers(0, 12, 80)
    ceiling = card_ceiling(fraud, day, card, k)
    assert card_precision(fraud, score, day, card, k) <= ceiling + 1e-12
    assert card_precision(fraud, fraud + score / 10, day, card, k) == pytest.approx(ceiling)
