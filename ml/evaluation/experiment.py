"""One honest comparison: fit the model and its baselines on one period, measure all of them on a later one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from epoch import from_day
from errors import InputError
from features import DAY_US, NAMES, Group
from ml.dataset.labels import compromised, frauds, is_fraud
from ml.dataset.masking import CASES
from ml.dataset.rows import Rows
from ml.dataset.vectors import Matrix
from ml.evaluation import thefts
from ml.evaluation.thefts import Thefts
from ml.metrics import Scores, card_ceiling, flagged, measure
from ml.periods import Split
from ml.training.baselines import BASELINES
from ml.training.booster import Choice, Sample, choose, fit_final
from ml.training.export import floor_thresholds

MODEL = "lightgbm"
WITHOUT = f"{MODEL} without windows"
"""The same parameters on all other columns: what the windows are worth."""
FEWEST = {"training": 20, "validation": 5, "test": 5}
"""Frauds without which a figure means nothing."""

Flags = NDArray[np.bool_]
Step = Callable[[str], None]
Verdicts = Callable[[int | None], pa.Table]


@dataclass(frozen=True)
class RowSet:
    """The payments that figures are about, and each model's figures on them."""

    name: str
    rows: int
    cards: int
    frauds: int
    ceiling: float
    models: dict[str, Scores]

    @property
    def prevalence(self) -> float:
        """Return the share of fraud."""
        return self.frauds / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Outage:
    """The model while what is looked up is missing: average precision, and what its own threshold does to whom."""

    name: str
    average_precision: float
    recall: float
    false_positive_rate: float


@dataclass(frozen=True)
class Week:
    """One week of the test: its first day (a Monday), and the model's figures at its own threshold; NaN for none."""

    week: date
    payments: int
    frauds: int
    average_precision: float
    recall: float
    precision: float


@dataclass(frozen=True)
class Test:
    """What the figures were measured on: X (n, features) and fraud (n,), to measure another model on."""

    X: Matrix
    fraud: Flags

    def average_precision(self, booster: lgb.Booster) -> float:
        """Return the average precision of a booster here."""
        nobody = np.zeros(len(self.fraud), np.int64)
        return measure(self.fraud, np.asarray(booster.predict(self.X)), nobody, nobody, 1).average_precision


@dataclass(frozen=True)
class Result:
    """Everything an experiment found, and its model."""

    split: Split
    k: int
    choice: Choice
    booster: lgb.Booster
    test: Test
    trained: RowSet
    sets: tuple[RowSet, ...]
    outages: tuple[Outage, ...]
    thefts: tuple[Thefts, ...]
    weeks: tuple[Week, ...] = ()


def run(rows: Rows, verdicts: Verdicts, split: Split, k: int, step: Step = lambda _: None) -> Result:
    """Train as of the test's first moment, test on all that is known today.

    `rows` reach from the training's first day to the test's last; `verdicts` returns the table of those known before
    a moment (None: now). InputError if a period has too few frauds to learn from or to measure with.
    """
    train_part, test_part = rows.between(*split.train_us), rows.between(*split.test_us)
    known_at_test = is_fraud(rows, frauds(verdicts(split.test_us[0])))
    train = Sample(rows.for_training(train_part), known_at_test[train_part], rows.event_time[train_part])
    _enough("training", train.fraud, split.train_from, split.train_to)
    fit, validation = _inner(rows, verdicts, split, known_at_test)
    truth = frauds(verdicts(None))
    fraud = is_fraud(rows, truth)[test_part]
    _enough("test", fraud, split.test_from, split.test_to)

    choice = choose(fit, validation, lambda what: step(f"{MODEL}: {what}"))
    step(f"{MODEL}: the chosen one on the whole period")
    booster = floor_thresholds(fit_final(train, choice))
    scores = {MODEL: np.asarray(booster.predict(rows.X[test_part]))}
    step(WITHOUT)
    scores[WITHOUT] = np.asarray(fit_final(train.without(Group.WINDOW), choice).predict(rows.X[test_part]))
    for name, baseline in BASELINES.items():
        step(name)
        scores[name] = np.asarray(baseline(train)(rows.X[test_part]))

    step("figures")
    cards, days = rows.card[test_part], rows.event_time[test_part] // DAY_US
    unknown = ~compromised(rows, truth)[test_part]
    everyone = np.ones(len(fraud), np.bool_)
    sets = tuple(
        RowSet(
            name,
            int(chosen.sum()),
            len(np.unique(cards[chosen])),
            int(fraud[chosen].sum()),
            card_ceiling(fraud[chosen], days[chosen], cards[chosen], k),
            {
                model: measure(fraud[chosen], score[chosen], days[chosen], cards[chosen], k)
                for model, score in scores.items()
            },
        )
        for name, chosen in (("all cards", everyone), ("cards not yet known as compromised", unknown))
    )
    trained = RowSet("training", len(train.fraud), len(np.unique(rows.card[train_part])), int(train.fraud.sum()), 0, {})
    outages = _outages(rows, booster, fraud, test_part, choice.threshold)
    recent = days > days[-1] - thefts.DAYS
    by_theft = thefts.by_length(
        fraud & recent,
        scores[MODEL] >= choice.threshold,
        cards,
        rows.event_time[test_part],
        rows.X[test_part, NAMES.index("amount")],
    )
    weeks = by_week(fraud, scores[MODEL], days, choice.threshold)
    return Result(split, k, choice, booster, Test(rows.X[test_part], fraud), trained, sets, outages, by_theft, weeks)


def by_week(fraud: Flags, score: NDArray[np.floating], day: NDArray[np.integer], threshold: float) -> tuple[Week, ...]:
    """Return the figures of each week; `day` (n,) counts from 1970-01-01, a Thursday."""
    weeks = (day + 3) // 7
    nobody = np.zeros(len(fraud), np.int64)
    found = []
    for week in np.unique(weeks):
        of = weeks == week
        precise = measure(fraud[of], score[of], nobody[of], nobody[of], 1).average_precision
        hit = score[of] >= threshold
        precision = float(fraud[of][hit].mean()) if hit.any() else math.nan
        recall = flagged(fraud[of], score[of], threshold)[0]
        monday = from_day(int(week) * 7 - 3)
        found.append(Week(monday, int(of.sum()), int(fraud[of].sum()), precise, recall, precision))
    return tuple(found)


def _inner(rows: Rows, verdicts: Verdicts, split: Split, known_at_test: Flags) -> tuple[Sample, Sample]:
    """Return what to fit and what to validate on inside the training period, as on the validation's first day."""
    inner = split.inner()
    fit_part, part = rows.between(*inner.train_us), rows.between(*inner.test_us)
    known = is_fraud(rows, frauds(verdicts(inner.test_us[0])))[fit_part]
    fit = Sample(rows.for_training(fit_part), known, rows.event_time[fit_part])
    validation = Sample(rows.X[part], known_at_test[part], rows.event_time[part])
    _enough("training", fit.fraud, inner.train_from, inner.train_to)
    _enough("validation", validation.fraud, inner.test_from, inner.test_to)
    return fit, validation


def _outages(rows: Rows, booster: lgb.Booster, fraud: Flags, part: slice, threshold: float) -> tuple[Outage, ...]:
    matrices = {"nothing missing": rows.X[part]}
    chosen = slice(part.start - rows.outages_from, part.stop - rows.outages_from)
    matrices |= {name: rows.outages[lost][chosen] for name, lost in CASES.items()}
    found = []
    for name, X in matrices.items():
        rates = flagged(fraud, np.asarray(booster.predict(X)), threshold)
        found.append(Outage(name, Test(X, fraud).average_precision(booster), *rates))
    return tuple(found)


def _enough(what: str, fraud: Flags, first: object, last: object) -> None:
    if len(fraud) == 0:
        raise InputError(f"there are no payments from {first} to {last} ({what}); choose a period that the lake has")
    if fraud.sum() < FEWEST[what] or fraud.all():
        raise InputError(
            f"{what} from {first} to {last} has {int(fraud.sum())} known frauds among {len(fraud)} payments, at least "
            f"{FEWEST[what]} are needed: choose a longer period, or bring more payments and labels into the lake"
        )
