"""From vectors to decision records: what champion, challenger, rules and notes say of the payments of a batch."""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

from contracts.topics import POLICY
from features import FeatureVector, matrix
from scoring.decision import Scored, decide
from scoring.model import Model
from scoring.ruling import rule
from serving.config import config
from serving.decide import record as decided
from serving.decide.record import Rival, Ruled
from serving.models.champion import Challenger, Champion
from serving.online import lookup
from serving.policy.in_force import InForce
from serving.stream.intake import Arrival
from serving.stream.statistics import Clock, Tally
from settings import lakehouse_home

LONG = 100
"""Payments from which on a batch is scored by a thread of its own: the libraries compute without Python's lock."""
SWITCH_S = 0.0005
"""How long that thread waits for the lock between two computations."""
POLICY_WITHIN_S = 30.0
"""How long a start without a copy of the policy waits for Kafka's; then they are decided without."""
MODEL_WITHIN_S = 60.0
"""How long a start without a kept model waits for MLflow; then payments are approved by the fallback."""


class Decider:
    """The models and rules of this process, each watched for its successor."""

    def __init__(self, tally: Tally, prefix: str = "") -> None:
        """Watch nothing yet; `tally` counts what rules do, `prefix` stands before the names of topics."""
        self.champion = Champion(lakehouse_home() / "cache" / "stream", config().poll_s)
        self.rules = InForce("stream", prefix + POLICY.name)
        self._challenger = Challenger(lakehouse_home() / "cache" / "stream-challenger", config().poll_s)
        self._tally = tally
        self._beside = ThreadPoolExecutor(1, "score")

    def start(self) -> None:
        """Load what this machine has, begin to watch, and wait a while for a first model."""
        sys.setswitchinterval(SWITCH_S)
        self.rules.start(POLICY_WITHIN_S)
        self.champion.start()
        self._challenger.start()
        if self.champion.model is None:
            self.champion.answered.wait(MODEL_WITHIN_S)

    def stop(self) -> None:
        """Stop watching."""
        self.champion.stop()
        self._challenger.stop()
        self.rules.stop()
        self._beside.shutdown()

    def records(
        self, arrivals: Sequence[Arrival], vectors: list[FeatureVector], notes: lookup.Notes, clock: Clock
    ) -> list[dict[str, Any]]:
        """Return the decision record of each payment, in order; a lap of `clock` for each step."""
        model = self.champion.model
        if not arrivals:
            return []
        if model is None:
            ruled = self._rule(arrivals, vectors, None, 0.0, notes)
            stages = clock.text(len(arrivals))
            drafts = map(decided.draft, arrivals, vectors)
            return [decided.by_fallback(*each, stages) for each in zip(drafts, ruled, strict=True)]
        scoring = self._scoring(model, vectors)
        drafted = [decided.draft(*each) for each in zip(arrivals, vectors, strict=True)]
        clock.lap("draft")
        scored = scoring()
        clock.lap("score")
        ruled = self._rule(arrivals, vectors, scored, model.manifest.threshold, notes)
        clock.lap("rules")
        stages = clock.text(len(arrivals))
        rivals = self._rivals(vectors)
        records = [
            decided.by_model(draft, s, model, r, stages, rival)
            for draft, s, r, rival in zip(drafted, scored, ruled, rivals, strict=True)
        ]
        clock.lap("record")
        return records

    def _scoring(self, model: Model, vectors: list[FeatureVector]) -> Callable[[], list[Scored]]:
        """Return what gives the scores; of a long batch they are computed from now on, beside the caller."""
        if len(vectors) < LONG:
            return lambda: decide(model, vectors)
        return self._beside.submit(decide, model, vectors).result

    def _rivals(self, vectors: Sequence[FeatureVector]) -> Sequence[Rival | None]:
        """Return the challenger's word on each payment, which decides nothing."""
        model = self._challenger.model
        if model is None:
            return [None] * len(vectors)
        scores = model.score(matrix(vectors)).tolist()
        return [(model.version, score) for score in scores]

    def _rule(
        self,
        arrivals: Sequence[Arrival],
        vectors: Sequence[FeatureVector],
        scored: Sequence[Scored] | None,
        threshold: float,
        notes: lookup.Notes,
    ) -> list[Ruled]:
        rules, now_us = self.rules.ruleset, time.time_ns() // 1_000
        version = rules.version if rules else None
        found = []
        for arrival, vector, said in zip(arrivals, vectors, scored or repeat(None, len(arrivals)), strict=True):
            known = notes.get(arrival.payment["card_id"], ())
            ruling = rule(rules, arrival.payment, vector, said, threshold=threshold, notes=known, now_us=now_us)
            found.append(Ruled(ruling, version, now_us))
        self._tally.add_ruled(found)
        return found
