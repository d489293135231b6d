"""How good scores are: average precision, card precision at k with its ceiling, ROC AUC, and 2 % false positives.

Card precision at k follows the Fraud Detection Handbook (Le Borgne et al., chapter 4.4): each day the cards are ranked
by their highest score of that day, the k first are looked at, and a card counts when one of its payments of that day is
fraud. Ties are not broken but shared: a tied group that crosses the k-th place counts by its expected value.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

FALSE_POSITIVE_RATE = 0.02

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Scores:
    """The figures of one model on one set of payments; NaN where the set has no fraud or nothing but fraud.

    recall and precision are those at the operating point, at most 2 % false positives; precision is NaN, too, where
    that flags nothing.
    """

    average_precision: float
    card_precision: float
    roc_auc: float
    recall: float
    precision: float

    def as_dict(self) -> dict[str, float | None]:
        """Return the figures by name, None for NaN, as JSON has it."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def measure(fraud: Flags, score: Floats, day: Integers, card: Integers, k: int) -> Scores:
    """Measure `score` (n,) against `fraud` (n,); `day` and `card` (n,) are integer codes."""
    if not 0 < fraud.sum() < len(fraud):
        return Scores(math.nan, card_precision(fraud, score, day, card, k), *[math.nan] * 3)
    return Scores(
        float(average_precision_score(fraud, score)),
        card_precision(fraud, score, day, card, k),
        float(roc_auc_score(fraud, score)),
        recall_at(fraud, score, FALSE_POSITIVE_RATE),
        precision_at(fraud, score, FALSE_POSITIVE_RATE),
    )


def recall_at(fraud: Flags, score: Floats, rate: float) -> float:
    """Return the share of frauds caught when at most `rate` of the genuine payments are flagged."""
    return float((score[fraud] > _bar(fraud, score, rate)).mean()) if fraud.any() else math.nan


def precision_at(fraud: Flags, score: Floats, rate: float) -> float:
    """Return the share of frauds among what is flagged when at most `rate` of the genuine payments are."""
    hit = score > _bar(fraud, score, rate)
    return float(fraud[hit].mean()) if hit.any() else math.nan


def threshold_at(fraud: Flags, score: Floats, rate: float) -> float:
    """Return the lowest threshold t (flagged: score >= t) that flags at most `rate` of the genuine payments.

    It lies halfway between two scores that were seen, so that a last bit of difference decides nothing.
    """
    bar = _bar(fraud, score, rate)
    above = score[score > bar]
    return float(bar + above.min()) / 2 if len(above) else float(np.nextafter(bar, np.inf))


def flagged(fraud: Flags, score: Floats, threshold: float) -> tuple[float, float]:
    """Return (recall, false positive rate) of flagging every score >= threshold; NaN for an empty class."""
    hit = score >= threshold
    return (
        float(hit[fraud].mean()) if fraud.any() else math.nan,
        float(hit[~fraud].mean()) if (~fraud).any() else math.nan,
    )


def card_precision(fraud: Flags, score: Floats, day: Integers, card: Integers, k: int) -> float:
    """Return the mean over days of (fraudulent cards among the k highest) / k; NaN without any payment."""
    days = _per_card(fraud, score, day, card)
    return float(np.mean([_top(flags, best, k) for flags, best in days])) if days else math.nan


def card_ceiling(fraud: Flags, day: Integers, card: Integers, k: int) -> float:
    """Return the card precision at k of perfect scores: a day with fewer than k fraudulent cards cannot reach 1."""
    return card_precision(fraud, fraud.astype(np.float64), day, card, k)


def _per_card(fraud: Flags, score: Floats, day: Integers, card: Integers) -> list[tuple[Flags, Floats]]:
    """Return for each day the cards' fraud flags and highest scores."""
    if not len(score):
        return []
    order = np.lexsort((card, day))
    day, card, fraud, score = day[order], card[order], fraud[order], score[order]
    starts = np.flatnonzero(np.r_[True, (day[1:] != day[:-1]) | (card[1:] != card[:-1])])
    flags, best = np.logical_or.reduceat(fraud, starts), np.maximum.reduceat(score, starts)
    edges = np.flatnonzero(np.r_[True, day[starts][1:] != day[starts][:-1]])[1:]
    return list(zip(np.split(flags, edges), np.split(best, edges), strict=True))


def _top(flags: Flags, best: Floats, k: int) -> float:
    if len(best) <= k:
        return float(flags.sum()) / k
    cut = np.partition(best, -k)[-k]
    sure, tied = best > cut, best == cut
    return float(flags[sure].sum() + flags[tied].mean() * (k - sure.sum())) / k


def _bar(fraud: Flags, score: Floats, rate: float) -> float:
    """Return the score that a flagged payment must exceed: at most `rate` of the genuine ones do."""
    genuine = score[~fraud]
    if not len(genuine):
        return -math.inf
    allowed = math.floor(rate * len(genuine))
    return float(np.partition(genuine, -allowed - 1)[-allowed - 1])
