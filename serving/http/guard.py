"""What every request passes first, as plain ASGI: request id, principal, rate, body size; then count, time, log."""

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Container, Mapping

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import CARD_LIKE
from serving import metrics
from serving.config import Config
from serving.http.problems import MEDIA_TYPE, ProblemError
from serving.principals.file import fingerprint
from serving.principals.in_force import Accepted, KeysInForce

log = logging.getLogger(__name__)
QUIET = frozenset({"/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"})
"""Not logged: asked by machines, every few seconds."""
PATHS = QUIET | {"/predict", "/predict/batch", "/model", "/tokens"}
PREDICT = "/predict"
BATCH = "/predict/batch"
TOKENS = "/tokens"
COUNTED = frozenset({BATCH, TOKENS})
"""Paid for by what is in them, once that is counted; and larger than others."""
CONSOLE = "/console"
OK = 200
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch


class Guard:
    """Wraps the application. What it refuses is answered as problem+json; bodies are neither read nor logged here."""

    def __init__(self, app: ASGIApp, config: Config, keys: KeysInForce, open_paths: Container[str]) -> None:
        """Let requests with a key in force through to `app`, and those of `open_paths` without one.

        The application finds who asks in the scope: `principal`, and `accepted`, which has the key's rates. Both are
        None where no key is asked for. What the principal may do is said by each route (serving/http/access.py).
        """
        self._app = app
        self._config = config
        self._keys = keys
        self._open = open_paths
        self._log = sys.stdout.buffer if config.access_log else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        path = _label(scope["path"])
        headers = dict(scope["headers"])
        scope["request_id"] = request_id = _request_id(headers.get(b"x-request-id"))
        status, begun = 500, False

        async def send_on(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            scope["accepted"] = accepted = self._admit(scope["path"], path, headers)
            scope["principal"] = accepted.principal if accepted else None
            await self._app(scope, _bounded(receive, headers, self._limit(path)), send_on)
        except ProblemError as problem:
            await respond(send_on, problem, request_id)
        except Exception as error:
            # Its text and its values may be a payment's: the type and the place must do.
            log.error("request %s failed: %s at %s", request_id, type(error).__name__, _place(error))  # noqa: TRY400
            if not begun:
                failed = ProblemError(500, "internal_error", "the scorer failed; its log has the request id")
                await respond(send_on, failed, request_id)
        finally:
            seconds = time.perf_counter() - began
            if path == PREDICT and status == OK:
                metrics.predict_seconds(seconds)
                metrics.predicted()
            else:
                metrics.REQUEST_SECONDS.labels(path).observe(seconds)
                metrics.REQUESTS.labels(path, status).inc()
            if self._log is not None and path not in QUIET:
                line = {
                    "time": time.time(),
                    "request_id": request_id,
                    "principal": principal.name if (principal := scope.get("principal")) else None,
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                }
                self._log.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _admit(self, path: str, label: str, headers: Mapping[bytes, bytes]) -> Accepted | None:
        if label == CONSOLE or path in self._open:  # people sign in to the console: browsers send no header of ours
            return None
        key = headers.get(b"x-api-key") or _bearer(headers)
        accepted = self._keys.find(fingerprint(key)) if key else None
        if accepted is None:
            raise self._refusal(key)
        if label not in COUNTED:
            accepted.payments.take(1)
        return accepted

    def _refusal(self, key: bytes) -> ProblemError:
        if not self._keys.known:
            why = f"no key can be judged: {self._keys.refused}"
            return ProblemError(503, "no_keys", why, headers={"retry-after": "5"})
        why = "the API key is not known, or over" if key else "send your API key as header X-API-Key"
        challenge = {"www-authenticate": 'ApiKey realm="fraud-lakehouse"'}
        return ProblemError(401, "unauthorized", why, headers=challenge)

    def _limit(self, path: str) -> int:
        return self._config.largest_batch_body if path in COUNTED else self._config.largest_body


async def respond(send: Send, problem: ProblemError, request_id: str) -> None:
    """Send a problem document."""
    body = problem.body(request_id)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _label(path: str) -> str:
    """Return the path by which limits are chosen and requests counted: one for all pages of the console."""
    if path in PATHS:
        return path
    if path.startswith("/docs/"):  # what the page of the description loads
        return "/docs"
    return CONSOLE if path == CONSOLE or path.startswith(f"{CONSOLE}/") else "other"


def _bearer(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the key of an `Authorization: Bearer` header, which Prometheus can send; empty without one."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames[-4:]))


def _request_id(given: bytes | None) -> str:
    """Return the caller's own id if it is a plain one that cannot be a card number, else a new one."""
    if given and REQUEST_ID(given) and not CARD_LIKE.search(given.decode()):
        return given.decode()
    return os.urandom(12).hex()


def _bounded(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> Receive:
    """Return `receive` itself if the declared length is small enough, one that counts if there is none."""
    declared = headers.get(b"content-length")
    if declared is not None:
        if int(declared) > limit:  # the HTTP parser has refused what is not a number
            raise _too_large(limit)
        return receive
    if b"transfer-encoding" not in headers:
        return receive
    total = 0

    async def counting() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise _too_large(limit)
        return message

    return counting


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "too_large", f"the body is larger than {limit} bytes", headers={"connection": "close"})
