"""What every request passes first, as plain ASGI: request id, API key, rate, body size; then count, time, log."""

import hashlib
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import CARD_LIKE, SettingsError
from serving import metrics
from serving.config import Config
from serving.http.problems import MEDIA_TYPE, ProblemError

log = logging.getLogger(__name__)
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"})
PATHS = OPEN_PATHS | {"/predict", "/predict/batch", "/model"}
PREDICT = "/predict"
BATCH = "/predict/batch"
CONSOLE = "/console"
OK = 200
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch
DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch


@dataclass
class Bucket:
    """A token bucket: `rate` tokens a second, at most `burst` at once."""

    rate: float
    burst: float
    tokens: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def take(self, cost: float) -> None:
        """Take `cost` tokens; ProblemError 429 saying how long to wait if there are not enough."""
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < cost:
            wait = str(max(1, round((cost - self.tokens) / self.rate + 0.5)))
            raise ProblemError(
                429,
                "too_many_requests",
                f"more than {self.rate:g} payments a second with this key",
                headers={"retry-after": wait},
            )
        self.tokens -= cost


def accepted_keys(sha256: str, config: Config) -> dict[str, Bucket]:
    """Return each accepted key's SHA-256 with its bucket, from the comma-separated setting; SettingsError if none."""
    digests = [each.strip().lower() for each in sha256.split(",") if each.strip()]
    if not digests or not all(DIGEST(digest) for digest in digests):
        raise SettingsError("API_KEY_SHA256 must be the SHA-256 of each API key in hex, with commas between them")
    return {digest: Bucket(config.rate_per_s, config.burst, config.burst) for digest in digests}


class Guard:
    """Wraps the application. What it refuses is answered as problem+json; bodies are neither read nor logged here."""

    def __init__(self, app: ASGIApp, config: Config, keys: Mapping[str, Bucket]) -> None:
        """Let requests with one of `keys` (by SHA-256) through to `app`."""
        self._app = app
        self._config = config
        self._keys = keys
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
            scope["bucket"] = self._admit(path, headers)
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
            if self._log is not None and path not in OPEN_PATHS:
                line = {
                    "time": time.time(),
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                }
                self._log.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _admit(self, path: str, headers: Mapping[bytes, bytes]) -> Bucket | None:
        if path in OPEN_PATHS or path == CONSOLE:  # people sign in to the console: browsers send no header of ours
            return None
        bucket = self._keys.get(hashlib.sha256(headers.get(b"x-api-key", b"")).hexdigest())
        if bucket is None:
            said = "the API key is not known" if b"x-api-key" in headers else "send your API key as header X-API-Key"
            raise ProblemError(
                401, "unauthorized", said, headers={"www-authenticate": 'ApiKey realm="fraud-lakehouse"'}
            )
        if path != BATCH:  # a batch pays for its payments, once they are counted
            bucket.take(1)
        return bucket

    def _limit(self, path: str) -> int:
        return self._config.largest_batch_body if path == BATCH else self._config.largest_body


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
