"""From a request's body to its answer: parse, find what is known, decide, keep, record."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import features
from features import Profile
from serving import metrics
from serving.api import answer, payload
from serving.api.payload import Request
from serving.api.recorder import Recorder, restored
from serving.config import config
from serving.decide.decision import Decided, Known, decide
from serving.decide.record import Record, Subject
from serving.decide.stages import Clock
from serving.http import access
from serving.http.problems import ProblemError
from serving.in_use import Watched
from serving.online import windows
from serving.online.fetch import Online, fetch
from serving.online.idempotency import Answered, Asked, ConflictError, asked
from serving.online.pipe import Pipe
from serving.online.profiles import UNREACHABLE
from serving.principals.principal import Principal


@dataclass(frozen=True)
class Scorer:
    """The parts that a decision needs: online store, what decides, decisions kept and recorded, the key of cards."""

    pipe: Pipe
    in_use: Watched
    answered: Answered
    recorder: Recorder
    hash_key: bytes

    async def predict(self, body: bytes, request_id: str, principal: Principal) -> bytes:
        """Return the answer (JSON) to one payment; ProblemError says why there is none."""
        began = perf_counter()
        request = payload.read(body, self.hash_key)
        access.own(principal, request.record["source"])
        metrics.parse_seconds(perf_counter() - began)
        given = (await self.answer([request], request_id))[0]
        if isinstance(given, ConflictError):
            raise conflict(given)
        return given

    async def answer(self, requests: Sequence[Request], request_id: str) -> list[bytes | ConflictError]:
        """Return for each payment its answer or a ConflictError, in order; ProblemError 503: it cannot be recorded.

        A decision that is answered is on this machine's disk. A payment that was asked before has the decision that
        was kept then, and is recorded again: who answered it may have been killed before it could.
        """
        asks = [asked(request.record) for request in requests]
        standing: list[bytes | None] = [self.answered.remembered(ask) for ask in asks]
        fresh = [index for index, kept in enumerate(standing) if kept is None]
        records: dict[int, Record] = {}
        if fresh:
            decided = await self._decide([requests[i] for i in fresh], [asks[i] for i in fresh], request_id)
            began = perf_counter()
            framed = [self.recorder.decision(each.record) for each in decided]
            kept = await self.answered.keep([asks[i] for i in fresh], framed)
            metrics.keep_seconds(perf_counter() - began)
            for index, value, mine, each in zip(fresh, kept, framed, decided, strict=True):
                standing[index] = value
                if value.endswith(mine):
                    records[index] = each.record
                    metrics.count_decision(each.record, each.ruling)
        if len(requests) == 1:
            return [await self._give(requests[0], asks[0], standing[0] or b"", records.get(0))]
        giving = (self._give(requests[i], asks[i], standing[i] or b"", records.get(i)) for i in range(len(requests)))
        return list(await asyncio.gather(*giving))

    async def _give(self, request: Request, ask: Asked, kept: bytes, record: Record | None) -> bytes | ConflictError:
        """Record the decision that stands and return the answer that shows it; `record` is given if it is ours."""
        try:
            framed = ask.recall(kept)
        except ConflictError as error:
            return error
        if record is None:
            metrics.REPEATS.inc()
            record = restored(framed)
        if not request.observe:
            self.recorder.record(framed, record)
            return answer.view(record)
        standing = await self.recorder.record_and_observe(framed, record, config().observe_within_s)
        metrics.OBSERVED.labels("no" if standing is None else "yes").inc()
        return answer.view(record, answer.observed(standing))

    async def _decide(self, requests: Sequence[Request], asks: Sequence[Asked], request_id: str) -> list[Decided]:
        clock = Clock()
        payments = [request.record for request in requests]
        framed = [self.recorder.payment(payment) for payment in payments]
        online = await fetch(self.pipe, payments)
        clock.lap("find")
        known = [_known(payment, online, index) for index, payment in enumerate(payments)]
        subjects = [
            Subject(payment, value, ask.decision_id, "api", request_id=request_id, observe=request.observe)
            for payment, value, ask, request in zip(payments, framed, asks, requests, strict=True)
        ]
        clock.lap("build")
        explain = [request.explain for request in requests]
        decided = decide(subjects, known, self.in_use.now, time.time_ns() // 1_000, clock, explain=explain)
        metrics.count_stages(clock.stages)
        return decided


def conflict(error: ConflictError) -> ProblemError:
    """Return the 409 that a ConflictError is to the caller."""
    return ProblemError(409, "conflict", str(error))


def _known(payment: Record, online: Online, index: int) -> Known:
    card, acceptor = online.profiles[index]
    window: Profile = UNREACHABLE
    if online.windows is not None:
        window = windows.judge(payment, online.windows[payment["card_id"]], online.progress)
    return Known(features.build(payment, card, acceptor, window), online.notes.get(payment["card_id"], ()))
