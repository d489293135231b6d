"""The HTTP application: its routes, what it opens at start and closes at the end."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from clients.redis import Line
from contracts.identity import hash_key
from contracts.topics import TRANSACTIONS
from serving import garbage, metrics
from serving.api import openapi, payload
from serving.api.observe import observed
from serving.api.scorer import Scorer, conflict
from serving.config import config
from serving.desk import config as alerts
from serving.http import handlers
from serving.http.guard import Bucket, Guard, accepted_keys
from serving.http.problems import ProblemError
from serving.models import champion as champions
from serving.models.champion import Champion
from serving.online.breaker import Breaker
from serving.online.idempotency import ConflictError, Memory
from serving.online.pipe import Pipe
from serving.online.store import Store
from serving.outbox.sender import Sender
from serving.policy import in_force as inforce
from serving.policy.in_force import InForce
from settings import lakehouse_home, settings

CHUNK = 16
"""Payments of a batch answered before others get their turn of the loop."""
FLUSH_S = 1.0


def create() -> ASGIApp:
    """Return the application; servers are first asked when it starts. SettingsError if a secret is missing."""
    line = Line()
    pipe = Pipe(line.run, Breaker(config().breaker()))
    watched = Champion(lakehouse_home() / "cache" / "scorer", config().poll_s)
    store = Store(pipe, Memory(config().remembered_answers))
    rules = InForce(inforce.files(), config().rules_poll_s)
    sender = Sender(alerts.config().prefix)
    scorer = Scorer(store, watched, rules, hash_key(settings().card_hash_key.get_secret_value()), sender)
    keys = accepted_keys(settings().api_key_sha256, config())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watched.start()
        rules.start()
        flusher = asyncio.create_task(_flush())
        threading.Thread(target=sender.warm, args=(TRANSACTIONS,), name="warm sender", daemon=True).start()
        garbage.spare()
        yield
        flusher.cancel()
        watched.stop()
        rules.stop()
        await asyncio.to_thread(sender.close)
        await line.close()
        sys.stdout.flush()

    app = FastAPI(title="Fraud scorer", version="1", lifespan=lifespan, redoc_url=None, description=openapi.DESCRIPTION)
    _routes(app, scorer)
    openapi.add_key_scheme(app)
    handlers.install(app)
    return Guard(_Direct(app, scorer), config(), keys)


class _Direct:
    """Answers POST /predict without the layers that other routes pass: they cost as much as the decision itself."""

    def __init__(self, app: ASGIApp, scorer: Scorer) -> None:
        self._app = app
        self._scorer = scorer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/predict" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        answer = await self._scorer.predict(body, scope["request_id"])
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body; None if the caller has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _routes(app: FastAPI, scorer: Scorer) -> None:
    @app.post("/predict", **openapi.PREDICT)
    async def predict(request: Request) -> Response:
        # Requests are answered by _Direct, in the same way; this is the route that the OpenAPI page shows.
        return _json(await scorer.predict(await request.body(), request.scope["request_id"]))

    @app.post("/predict/batch", **openapi.BATCH)
    async def predict_batch(request: Request) -> Response:
        payments = payload.split(await request.body())
        bucket: Bucket = request.scope["bucket"]
        bucket.take(len(payments))
        request_id = request.scope["request_id"]
        results: list[dict[str, Any]] = []
        for start in range(0, len(payments), CHUNK):
            results += await _some(scorer, payments[start : start + CHUNK], request_id)
            await asyncio.sleep(0)
        return _json(orjson.dumps({"request_id": request_id, "results": results}))

    @app.get("/model", **openapi.MODEL)
    async def model() -> Response:
        return _json(champions.describe(scorer.champion))

    @app.get("/health/live", **openapi.LIVE)
    async def live() -> Response:
        return _json(b'{"live":true}')

    @app.get("/health/ready", **openapi.READY)
    async def ready() -> Response:
        used = scorer.champion.model
        if used is None:
            why = scorer.champion.trouble or "no model has been loaded yet"
            raise ProblemError(503, "no_model", why)
        state = scorer.store.pipe.breaker.state
        rules = {"version": scorer.rules.version, "refused": scorer.rules.refused}
        return _json(orjson.dumps({"ready": True, "model": used.version, "online_store": state, "rules": rules}))

    @app.get("/metrics", **openapi.METRICS)
    async def measured() -> Response:
        metrics.show_breaker(scorer.store.pipe.breaker.state)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _some(scorer: Scorer, payments: list[Any], request_id: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = [{} for _ in payments]
    requests, places = [], []
    for place, payment in enumerate(payments):
        try:
            requests.append(payload.read(orjson.dumps(payment), scorer.hash_key))
            places.append(place)
        except ProblemError as problem:
            results[place] = {"status": problem.status, "problem": problem.document()}
    answers = await scorer.answer(requests, request_id) if requests else []
    given = await asyncio.gather(*map(partial(_observed, scorer.sender), requests, answers))
    for place, answer in zip(places, given, strict=True):
        if isinstance(answer, ConflictError):
            results[place] = {"status": 409, "problem": conflict(answer).document()}
        else:
            results[place] = {"status": 200, "answer": orjson.Fragment(answer)}
    return results


async def _observed(sender: Sender, request: payload.Request, answer: bytes | ConflictError) -> bytes | ConflictError:
    if request.observe and isinstance(answer, bytes):
        return await observed(sender, request.record, answer)
    return answer


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


async def _flush() -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        sys.stdout.flush()
