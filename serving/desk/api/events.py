"""Alerts as server-sent events: each change in its order, resumed by Last-Event-ID, with a sign of life in silence."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import orjson

from serving.desk.api import queries
from serving.desk.api.models import Alert
from serving.desk.config import config
from serving.desk.database import History
from serving.http.problems import ProblemError

LOOK_S = 0.5
"""One look is one read of an index's end; each stream looks by itself, so none holds a connection while it waits."""
MOST = 200
Render = Callable[[Alert], bytes]
Lives = Callable[[], bool]
"""Whether the key or the session that opened a stream is still good."""
stopping = threading.Event()
"""Set when this process is told to stop: a server waits for its requests, and these never end by themselves."""


class Streams:
    """The open streams of this process; they are few, and all end when the process is told to stop."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._open = 0

    async def begin(self, last_event_id: str | None) -> int:
        """Return the change after which to begin: the caller's last one, else the newest; ProblemError 422, 503."""
        if self._open >= config().streams:
            text = f"{self._open} streams are open already"
            raise ProblemError(503, "too_many_streams", text, headers={"retry-after": "30"})
        if last_event_id is None:
            async with self._history.connection("looking for the newest change of an alert") as connection:
                return await queries.last_change(connection)
        if not last_event_id.isdecimal() or len(last_event_id) > 18:
            raise ProblemError(422, "bad_event_id", "Last-Event-ID is none that this stream sent")
        async with self._history.connection("opening a stream of alerts"):
            return int(last_event_id)

    async def events(
        self, after: int, lives: Lives, sources: queries.Sources = None, render: Render | None = None
    ) -> AsyncIterator[bytes]:
        """Yield events and signs of life; while PostgreSQL is away only those, and it goes on where it was.

        It ends when whoever opened it may not see it any more.
        """
        self._open += 1
        spoken = time.monotonic()
        try:
            yield b"retry: 2000\nid: %d\n\n" % after
            while not stopping.is_set() and lives():
                for alert in await self._look(after, sources):
                    after, spoken = alert.change, time.monotonic()
                    yield event(alert, render)
                if time.monotonic() - spoken > config().heartbeat_s:
                    spoken = time.monotonic()
                    yield b": alive\n\n"
                await asyncio.sleep(LOOK_S)
        finally:
            self._open -= 1

    async def _look(self, after: int, sources: queries.Sources) -> list[Alert]:
        try:
            async with self._history.connection("looking for changes of alerts") as connection:
                return [Alert(**row) for row in await queries.changes(connection, after, MOST, sources)]
        except ProblemError:  # logged where it was raised; the stream waits for PostgreSQL
            return []


def event(alert: Alert, render: Render | None = None) -> bytes:
    """Return one event; its id is the change's number."""
    data = render(alert) if render else orjson.dumps(alert.model_dump(mode="json"))
    return b"id: %d\nevent: alert\ndata: %b\n\n" % (alert.change, data.replace(b"\n", b"\ndata: "))
