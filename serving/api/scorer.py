"""From a request's body to its answer: parse, find profiles and kept answers, score, rule, explain, keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, time_ns

import features
from errors import LakehouseError
from scoring.decision import Scored, decide
from scoring.model import Model
from scoring.rules import RuleSet
from scoring.ruling import Ruling, rule
from serving import metrics
from serving.api import answer as answers
from serving.api import payload
from serving.api.observe import observed
from serving.api.payload import Request
from serving.http import access
from serving.http.problems import ProblemError
from serving.models.champion import Champion
from serving.online.idempotency import Asked, ConflictError, asked
from serving.online.store import Found, Store
from serving.outbox.sender import Sender
from serving.policy.in_force import InForce
from serving.principals.principal import Principal


@dataclass(frozen=True)
class Scorer:
    """The parts that a decision needs: online store, model and rules in use, and the key that hashes card numbers."""

    store: Store
    champion: Champion
    rules: InForce
    hash_key: bytes
    sender: Sender

    async def predict(self, body: bytes, request_id: str, principal: Principal) -> bytes:
        """Return the answer (JSON) to one payment; ProblemError says why there is none."""
        began = perf_counter()
        request = payload.read(body, self.hash_key)
        access.own(principal, request.record["source"])
        metrics.parse_seconds(perf_counter() - began)
        answer = (await self.answer([request], request_id))[0]
        if isinstance(answer, LakehouseError):
            raise answer if isinstance(answer, ProblemError) else conflict(answer)
        return await observed(self.sender, request.record, answer) if request.observe else answer

    async def answer(self, requests: Sequence[Request], request_id: str) -> list[bytes | ConflictError]:
        """Return for each payment its answer or a ConflictError, in order; ProblemError 503 without a model."""
        model = self.champion.model
        if model is None:
            raise ProblemError(503, "no_model", "no model has been loaded yet: train and promote one")
        records = [request.record for request in requests]
        asks = [asked(record) for record in records]
        began = perf_counter()
        found, unreachable = await self.store.find(records, asks)
        metrics.find_seconds(perf_counter() - began)
        began = perf_counter()
        given = [None if each.kept is None else _recall(ask, each.kept) for ask, each in zip(asks, found, strict=True)]
        fresh = [index for index, answer in enumerate(given) if answer is None]
        if not fresh:
            metrics.REPEATS.inc(len(given))
            return [answer for answer in given if answer is not None]
        scored = _score(model, self.rules.ruleset, [requests[i] for i in fresh], [found[i] for i in fresh])
        built = [answers.build(request_id, records[i], *each, model) for i, each in zip(fresh, scored, strict=True)]
        metrics.score_seconds(perf_counter() - began)
        began = perf_counter()
        kept = await self.store.keep(
            [asks[i] for i in fresh],
            [asks[i].keep(answer) for i, answer in zip(fresh, built, strict=True)],
            reachable=unreachable is None,
        )
        metrics.keep_seconds(perf_counter() - began)
        for index, standing in zip(fresh, kept, strict=True):
            given[index] = _recall(asks[index], standing)
        return [answer for answer in given if answer is not None]


def conflict(error: LakehouseError) -> ProblemError:
    """Return the 409 that a ConflictError is to the caller."""
    return ProblemError(409, "conflict", str(error))


def _recall(ask: Asked, kept: bytes) -> bytes | ConflictError:
    try:
        return ask.recall(kept)
    except ConflictError as error:
        return error


def _score(
    model: Model, rules: RuleSet | None, requests: Sequence[Request], found: Sequence[Found]
) -> list[tuple[Scored, Ruling, str | None]]:
    """Return each payment's score, the ruling on it, and the version of the rules that it was made under."""
    records = [request.record for request in requests]
    vectors = [features.build(r, each.card, each.acceptor, each.window) for r, each in zip(records, found, strict=True)]
    said = decide(model, vectors, [request.explain for request in requests])
    now_us, threshold, version = time_ns() // 1_000, model.manifest.threshold, rules.version if rules else None
    ruled = []
    for record, known, each in zip(records, found, said, strict=True):
        ruling = rule(rules, record, each.vector, each, threshold=threshold, notes=known.notes, now_us=now_us)
        metrics.decided[ruling.decision]()
        metrics.count_ruling(ruling)
        for group, status in each.vector.degraded.items():
            metrics.DEGRADED.labels(group, status).inc()
        ruled.append((each, ruling, version))
    return ruled
