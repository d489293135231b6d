"""From a feature vector to a decision: the score beside the threshold, and why."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from features import FeatureVector, matrix
from scoring.model import Model
from scoring.reasons import Reason, explain


class Decision(StrEnum):
    """What to do with a payment: let it pass, have a person look at it, ask its holder for more proof, or stop it.

    The model says approve or review; the others are said by rules and lists.
    """

    APPROVE = "approve"
    REVIEW = "review"
    STEP_UP = "step_up"
    BLOCK = "block"


class Scored(NamedTuple):
    """A payment's probability of fraud, its log-odds, and what follows under one model."""

    vector: FeatureVector
    score: float
    margin: float
    decision: Decision
    reasons: list[Reason]


def decide(model: Model, vectors: Sequence[FeatureVector], wanted: Sequence[bool] | None = None) -> list[Scored]:
    """Score all vectors in one call of the model; at the threshold and above goes to review.

    Those that go to review have reasons, and those `wanted` (one flag each): to explain costs more than to score.
    """
    rows = matrix(vectors)
    threshold = model.manifest.threshold
    currency = str(model.manifest.definitions["reporting_currency"])
    scores, margins = model.score_with_margins(rows)
    explained = np.flatnonzero((scores >= threshold) | (wanted or False))
    pushes = dict(zip(explained.tolist(), model.contributions(rows[explained]).tolist(), strict=True))
    decided = []
    for index, (vector, score, margin) in enumerate(zip(vectors, scores.tolist(), margins.tolist(), strict=True)):
        decision = Decision.REVIEW if score >= threshold else Decision.APPROVE
        reasons = []
        if index in pushes:
            reasons = explain(vector.values, pushes[index], currency, is_utc=vector.is_utc)
        decided.append(Scored(vector, score, margin, decision, reasons))
    return decided
