"""Whole thefts: where each is first stopped, and what went through before."""

import math

import numpy as np

from features import DAY_US
from ml.evaluation.thefts import by_length

HOUR_US = DAY_US // 24


def test_thefts_counted_by_hand():
    """Two cards, three thefts: stopped at the third payment, at none, and at the first; order does not matter."""
    rows = [  # card, hour, amount, fraud, stopped
        (1, 0, 10.0, True, False),
        (1, 1, 20.0, True, False),
        (1, 2, 30.0, True, True),
        (1, 3, 40.0, True, False),
        (1, 50, 100.0, True, False),
        (1, 2, 999.0, False, True),
        (2, 5, 7.0, True, True),
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    card, hour, amount, fraud, stopped = (np.array(column)[order] for column in zip(*rows, strict=True))
    one, few, many = by_length(fraud, stopped, card, hour * HOUR_US, amount)
    assert (one.thefts, one.payments, one.stopped, one.stopped_at) == (2, 2, 1, 1.0)
    assert math.isclose(one.lost, 100 / 107)
    assert (few.thefts, few.stopped, math.isnan(few.lost)) == (0, 0, True)
    assert (many.thefts, many.payments, many.stopped, many.stopped_at, many.lost) == (1, 4, 1, 3.0, 0.3)


def test_a_pause_of_more_than_a_day_begins_another_theft():
    """Frauds a day apart are one theft, a moment more makes two; other cards never join."""
    fraud = np.ones(3, np.bool_)
    for pause, lengths in ((DAY_US, [0, 1, 0]), (DAY_US + 1, [2, 0, 0])):
        time_us = np.array([0, pause, 0])
        found = by_length(fraud[:2], fraud[:2], np.array([1, 1]), time_us[:2], np.ones(2))
        assert [line.thefts for line in found] == lengths
    assert by_length(fraud, fraud, np.array([1, 2, 3]), np.zeros(3, np.int64), np.ones(3))[0].thefts == 3


def test_without_fraud_there_is_nothing_to_measure():
    """No theft gives zero counts and NaN, not an error."""
    none = np.zeros(4, np.bool_)
    for line in by_length(none, ~none, np.arange(4), np.arange(4), np.ones(4)):
        assert (line.thefts, line.payments, line.stopped) == (0, 0, 0)
        assert math.isnan(line.stopped_at)
