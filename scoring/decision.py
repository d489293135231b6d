"""From a feature vector to a decision: the score beside the threshold, and why."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from features import FeatureVector
from scoring.model import Model
from scoring.reasons import Reason, explain


class Decision(StrEnum):
    """What to do with a payment: let it pass, or have a person look at it."""

    APPROVE = "approve"
    REVIEW = "review"


@dataclass(frozen=True)
class Scored:
    """A payment's probability of fraud and what follows from it under one model."""

    vector: FeatureVector
    score: float
    decision: Decision
    reasons: list[Reason]


def decide(model: Model, vectors: list[FeatureVector]) -> list[Scored]:
    """Score and explain all vectors in one call of the model; at the threshold and above goes to review."""
    rows = np.array([vector.to_array() for vector in vectors])
    threshold = model.manifest.threshold
    currency = str(model.manifest.definitions["reporting_currency"])
    pushes = model.contributions(rows).tolist()
    return [
        Scored(
            vector,
            score,
            Decision.REVIEW if score >= threshold else Decision.APPROVE,
            explain(vector.values, contributions, currency),
        )
        for vector, score, contributions in zip(vectors, model.score(rows).tolist(), pushes, strict=True)
    ]
