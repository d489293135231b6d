"""The one decision: payments with all that is known of them in, their decision records out; no I/O."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from features import FeatureVector, matrix
from scoring import decision as scoring
from scoring.decision import Scored
from scoring.model import Model
from scoring.notes import Note
from scoring.rules import RuleSet
from scoring.ruling import Ruling, rule
from serving.decide import record as records
from serving.decide.record import ChallengerScore, Record, Subject
from serving.decide.stages import Clock

LONG = 100
"""Payments from which on a batch is scored beside the drafting of its records: the libraries compute without Python's
lock."""


class Known(NamedTuple):
    """What is known of one payment: its feature vector, and the notes on its card."""

    vector: FeatureVector
    notes: Sequence[Note] = ()


class InUse(NamedTuple):
    """What decides, as it stands for one batch: the champion, a challenger that only scores, the rules in force."""

    champion: Model | None
    challenger: Model | None
    rules: RuleSet | None


class Decided(NamedTuple):
    """A decision: its record (contracts/decision.avsc), and the ruling in it for whoever counts."""

    record: Record
    ruling: Ruling


def decide(
    subjects: Sequence[Subject],
    known: Sequence[Known],
    in_use: InUse,
    now_us: int,
    clock: Clock,
    *,
    explain: Sequence[bool] | None = None,
    beside: Executor | None = None,
) -> list[Decided]:
    """Decide payments at `now_us` (UTC microseconds) and return their decisions in order; a lap of `clock` a step.

    Without a champion rules and lists decide, and what they leave is approved by the fallback. `explain` (a flag a
    payment) asks for the model's reasons where it approves, too. A long batch is scored by `beside`, if there is one.
    """
    if not subjects:
        return []
    vectors = [each.vector for each in known]
    scoring_now = _scoring(in_use.champion, vectors, explain, beside)
    drafts = [records.draft(subject, vector) for subject, vector in zip(subjects, vectors, strict=True)]
    clock.lap("draft")
    scored = scoring_now()
    clock.lap("score")
    threshold = in_use.champion.manifest.threshold if in_use.champion else 0.0
    rulings = [
        rule(in_use.rules, s.payment, k.vector, by_model, threshold=threshold, notes=k.notes, now_us=now_us)
        for s, k, by_model in zip(subjects, known, scored, strict=True)
    ]
    clock.lap("rules")
    stages, version = clock.text(len(subjects)), in_use.rules.version if in_use.rules else None
    challenged = _challenged(in_use.challenger, vectors)
    decided = []
    for draft, by_model, ruling, challenger in zip(drafts, scored, rulings, challenged, strict=True):
        records.add_model(draft, by_model, in_use.champion, challenger)
        records.add_ruling(draft, ruling, version, now_us, stages)
        decided.append(Decided(draft, ruling))
    clock.lap("record")
    return decided


def _scoring(
    model: Model | None, vectors: list[FeatureVector], explain: Sequence[bool] | None, beside: Executor | None
) -> Callable[[], Sequence[Scored | None]]:
    """Return what gives the scores; of a long batch they are computed from now on, beside the caller."""
    if model is None:
        return lambda: [None] * len(vectors)
    if beside is None or len(vectors) < LONG:
        return lambda: scoring.decide(model, vectors, explain)
    return beside.submit(scoring.decide, model, vectors, explain).result


def _challenged(model: Model | None, vectors: Sequence[FeatureVector]) -> Sequence[ChallengerScore | None]:
    """Return the challenger's score of each payment, which decides nothing."""
    if model is None:
        return [None] * len(vectors)
    return [(model.version, score) for score in model.score(matrix(vectors)).tolist()]
