"""The HTTP application: its routes, what it opens at start and closes at the end."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from clients.redis import Line
from contracts.identity import hash_key
from lake import card_key
from serving import garbage, metrics
from serving.api import openapi, payload, tokens
from serving.api.recorder import Recorder
from serving.api.scorer import Scorer, conflict
from serving.config import config, topic_prefix
from serving.http import access, docs_page, handlers, problems
from serving.http.access import ANYBODY, EVERY_ROLE, Allow
from serving.http.guard import Guard
from serving.http.problems import ProblemError
from serving.in_use import Watched
from serving.models import champion as champions
from serving.online.breaker import Breaker
from serving.online.idempotency import Answered, ConflictError, Memory
from serving.online.pipe import Pipe
from serving.principals import file as keyfile
from serving.principals.in_force import Accepted, KeysInForce
from serving.principals.principal import Principal, Role
from settings import lakehouse_home, settings

CHUNK = 16
"""Payments of a batch answered before others get their turn of the loop."""
FLUSH_S = 1.0
MAY_ASK = Allow(Role.INTEGRATOR)


def create(name: str) -> ASGIApp:
    """Return the application; servers are first asked when it starts. SettingsError if a secret is missing.

    `name` is this scorer's among those of its machine: its decisions that wait for Kafka stand under it.
    """
    line = Line()
    answers_line = Line(settings().answers_url.get_secret_value())
    pipe = Pipe(line.run, Breaker(config().breaker()))
    kept = Pipe(answers_line.run, Breaker(config().breaker()))
    recorder = Recorder(
        lakehouse_home() / "spool" / name,
        lakehouse_home() / "cache" / "schema-ids.json",
        hash_key(settings().decision_key.get_secret_value(), "DECISION_KEY"),
        topic_prefix(),
    )
    scorer = Scorer(
        pipe=pipe,
        in_use=Watched("scorer", topic_prefix()),
        answered=Answered(kept, Memory(config().remembered_answers)),
        recorder=recorder,
        hash_key=card_key.verified(),
    )
    keys = KeysInForce(keyfile.path(), config())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keys.start()
        scorer.in_use.start()
        recorder.start()
        flusher = asyncio.create_task(_flush())
        garbage.spare()
        yield
        flusher.cancel()
        scorer.in_use.stop()
        keys.stop()
        await asyncio.to_thread(recorder.close)
        await line.close()
        await answers_line.close()
        sys.stdout.flush()

    app = FastAPI(
        title="Fraud scorer",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description=openapi.DESCRIPTION,
    )
    _routes(app, scorer, keys)
    app.include_router(tokens.router(scorer.hash_key))
    app.include_router(docs_page.router)
    open_paths = access.open_paths(app)
    openapi.complete(app)
    access.describe(app)
    handlers.install(app)
    return Guard(_Direct(app, scorer), config(), keys, open_paths)


class _Direct:
    """Answers POST /predict without the layers that other routes pass: they cost as much as the decision itself."""

    def __init__(self, app: ASGIApp, scorer: Scorer) -> None:
        self._app = app
        self._scorer = scorer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/predict" or scope["method"] != "POST":
            # HEAD is GET without a body, which the server leaves out: it looks at the scope that it made.
            await self._app({**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope, receive, send)
            return
        principal: Principal = scope["principal"]
        MAY_ASK.check(principal)
        body = await _body(receive)
        answer = await self._scorer.predict(body, scope["request_id"], principal)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes:
    """Return the whole body; ProblemError if the caller, or the deadline, ended the connection before it was whole."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise problems.incomplete()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _routes(app: FastAPI, scorer: Scorer, keys: KeysInForce) -> None:
    @app.post("/predict", dependencies=[Depends(MAY_ASK)], **openapi.PREDICT)
    async def predict(request: Request) -> Response:
        # Requests are answered by _Direct, in the same way; this is the route that the OpenAPI page shows.
        scope = request.scope
        return _json(await scorer.predict(await request.body(), scope["request_id"], scope["principal"]))

    @app.post("/predict/batch", dependencies=[Depends(MAY_ASK)], **openapi.BATCH)
    async def predict_batch(request: Request) -> Response:
        accepted: Accepted = request.scope["accepted"]
        try:
            payments = payload.split(await request.body())
        except ProblemError:
            accepted.payments.take(1)  # what is no batch costs as much as what is no payment
            raise
        accepted.payments.take(len(payments))
        request_id = request.scope["request_id"]
        results: list[dict[str, Any]] = []
        for start in range(0, len(payments), CHUNK):
            results += await _some(scorer, payments[start : start + CHUNK], request_id, accepted.principal)
            await asyncio.sleep(0)
        return _json(orjson.dumps({"request_id": request_id, "results": results}))

    @app.get("/model", dependencies=[Depends(EVERY_ROLE)], **openapi.MODEL)
    async def model() -> Response:
        return _json(champions.describe(scorer.in_use.champion))

    @app.get("/health/live", dependencies=[Depends(ANYBODY)], **openapi.LIVE)
    async def live() -> Response:
        return _json(b'{"live":true}')

    @app.get("/health/ready", dependencies=[Depends(ANYBODY)], **openapi.READY)
    async def ready() -> Response:
        champion, rules = scorer.in_use.champion, scorer.in_use.rules
        if champion.model is None:
            raise ProblemError(503, "no_model", champion.trouble or "no model has been loaded yet")
        if rules.missing:
            raise ProblemError(503, "no_rules", rules.missing)
        if not keys.known:
            raise ProblemError(503, "no_keys", f"no key can be judged: {keys.refused}")
        if not scorer.recorder.is_ready:
            why = scorer.recorder.trouble or "the schema registry has not been asked yet"
            raise ProblemError(503, "cannot_record", f"no decision can be recorded: {why}")
        found = {
            "ready": True,
            "model": champion.model.version,
            "online_store": scorer.pipe.breaker.state,
            "rules": rules.describe(),
            "keys": {"refused": keys.refused},
            "recorder": {"waiting_bytes": scorer.recorder.waiting_bytes, "trouble": scorer.recorder.trouble},
        }
        return _json(orjson.dumps(found))

    @app.get("/metrics", dependencies=[Depends(Allow(Role.OPERATOR))], **openapi.METRICS)
    async def measured() -> Response:
        metrics.show_breaker(scorer.pipe.breaker.state)
        metrics.SPOOL.set(scorer.recorder.waiting_bytes)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _some(scorer: Scorer, payments: list[Any], request_id: str, principal: Principal) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = [{} for _ in payments]
    requests, places = [], []
    for place, payment in enumerate(payments):
        try:
            read = payload.read_item(payment, scorer.hash_key)
            access.own(principal, read.record["source"])
            requests.append(read)
            places.append(place)
        except ProblemError as problem:
            results[place] = {"status": problem.status, "problem": problem.document()}
    answers = await scorer.answer(requests, request_id) if requests else []
    for place, answer in zip(places, answers, strict=True):
        if isinstance(answer, ConflictError):
            results[place] = {"status": 409, "problem": conflict(answer).document()}
        else:
            results[place] = {"status": 200, "answer": orjson.Fragment(answer)}
    return results


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _flush() -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        sys.stdout.flush()
