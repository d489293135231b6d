"""Alerts as server-sent events: each change in its order, resumed by Last-Event-ID, with a sign of life in silence."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import orjson
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from serving.desk.api import queries
from serving.desk.api.models import Alert
from serving.desk.config import config
from serving.desk.database import History
from serving.http.problems import ProblemError

LOOK_S = 0.5
"""One look is one read of an index's end; each stream looks by itself, so none holds a connection while it waits."""
MOST = 200
RETRY_MS = 2_000
Render = Callable[[Alert], str]
Lives = Callable[[], bool]
"""Whether the key or the session that opened a stream is still good."""
stopping = threading.Event()
"""Set when this process is told to stop: a server waits for its requests, and these never end by themselves."""


class Streams:
    """The open streams of this process; they are few, and all end when the process is told to stop."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._open = 0

    async def answer(
        self,
        last_event_id: str | None,
        headers: dict[str, str],
        lives: Lives,
        sources: queries.Sources = None,
        render: Render | None = None,
    ) -> StreamingResponse:
        """Return the stream of what comes after the caller's last event, else from now on; ProblemError 422, 503."""
        after = await self._begin(last_event_id)
        if self._open >= config().streams:  # nothing waits between this and the counting
            text = f"{self._open} streams are open already"
            raise ProblemError(503, "too_many_streams", text, headers={"retry-after": "30"})
        self._open += 1
        return _Counted(self._events(after, lives, sources, render), self._end, headers)

    def _end(self) -> None:
        self._open -= 1

    async def _begin(self, last_event_id: str | None) -> int:
        if last_event_id is None:
            async with self._history.connection("looking for the newest change of an alert") as connection:
                return await queries.last_change(connection)
        if not (last_event_id.isascii() and last_event_id.isdecimal()) or len(last_event_id) > 18:
            raise ProblemError(422, "bad_event_id", "Last-Event-ID is none that this stream sent")
        async with self._history.connection("opening a stream of alerts"):
            return int(last_event_id)

    async def _events(
        self, after: int, lives: Lives, sources: queries.Sources, render: Render | None
    ) -> AsyncIterator[bytes]:
        """Yield events and signs of life; while PostgreSQL is away only those, and it goes on where it was.

        It ends when whoever opened it may not see it any more.
        """
        spoken = time.monotonic()
        yield format_sse_event(retry=RETRY_MS, id=str(after))
        while not stopping.is_set() and lives():
            for alert in await self._look(after, sources):
                after, spoken = alert.change, time.monotonic()
                yield event(alert, render)
            if time.monotonic() - spoken > config().heartbeat_s:
                spoken = time.monotonic()
                yield format_sse_event(comment="alive")
            await asyncio.sleep(LOOK_S)

    async def _look(self, after: int, sources: queries.Sources) -> list[Alert]:
        try:
            async with self._history.connection("looking for changes of alerts") as connection:
                return [Alert(**row) for row in await queries.changes(connection, after, MOST, sources)]
        except ProblemError:  # logged where it was raised; the stream waits for PostgreSQL
            return []


class _Counted(StreamingResponse):
    """A stream of events that says when it is over, also when its caller left before the first."""

    def __init__(self, events: AsyncIterator[bytes], end: Callable[[], None], headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


def event(alert: Alert, render: Render | None = None) -> bytes:
    """Return one event; its id is the change's number."""
    data = render(alert) if render else orjson.dumps(alert.model_dump(mode="json")).decode()
    return format_sse_event(data_str=data, event="alert", id=str(alert.change))
