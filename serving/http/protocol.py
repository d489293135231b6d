"""uvicorn's HTTP protocol, bounded: one write a response, a deadline on what a caller sends, and room for newcomers.

uvicorn itself waits for ever for a request's head and body, and its limit of connections refuses newcomers, health
checks among them, while those that say nothing stay.
"""

import asyncio
import resource
from collections.abc import Collection
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving import metrics
from serving.http.problems import MEDIA_TYPE, ProblemError, incomplete

CONTINUE = b"HTTP/1.1 100"
RESERVED = 100
"""File descriptors that are no callers': Redis, Kafka, PostgreSQL, the log, the model's files."""
FEWEST = 16
"""Connections that are served whatever the limit of descriptors is."""


class Joined:
    """A transport that holds back the head of a response for one turn of the loop: its body comes in the same turn.

    An answer without a body (to HEAD) or with a late one lets the head go by itself.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to `transport`."""
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Write `data`, with the head that was held back in front of it; a head alone waits."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and not data.startswith(CONTINUE):
            self._head = data
            asyncio.get_running_loop().call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """Write what is held back, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Bounded(HttpToolsProtocol):
    """Serves a connection through a Joined transport, and knows since when it waits for its caller.

    `since`: the loop's time at which we began to wait for a request, or for the rest of one, or for the caller to take
    an answer; None while we owe one.
    """

    most = 1_000
    """Connections at once; `sweep` sets what the process has room for."""
    since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a new connection; where there is no room, the one that has said nothing for longest makes it."""
        super().connection_made(cast("asyncio.Transport", Joined(transport)))
        self.since = self.loop.time()
        if len(self.connections) > self.most:
            quietest = min(cast("set[Bounded]", self.connections), key=lambda each: each.since or float("inf"))
            quietest.drop("full" if quietest is self else "room")

    def on_message_begin(self) -> None:
        """Begin with a request: its caller has the whole deadline for it."""
        super().on_message_begin()
        self.since = self.loop.time()

    def on_message_complete(self) -> None:
        """Owe an answer, unless one left before the request was whole."""
        super().on_message_complete()
        self.since = self.loop.time() if self.cycle.response_complete else None

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        super().on_response_complete()
        if not self.pipeline:
            self.since = self.loop.time()

    def pause_writing(self) -> None:
        """Wait for the caller to take what is written."""
        super().pause_writing()
        self.since = self.loop.time()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        self.since = self.loop.time() if self.cycle is None or self.cycle.response_complete else None

    def shutdown(self) -> None:
        """Close at the end of the server: at once, unless we owe an answer."""
        if self.since is None:
            super().shutdown()
        else:
            self.drop("shutdown")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, as a problem."""
        self._refuse(ProblemError(400, "malformed_http", msg, headers={"connection": "close"}))

    def drop(self, why: str) -> None:
        """Close: a request that is under way is answered 408, or 503 where the server is full."""
        metrics.CONNECTIONS_CLOSED.labels(why).inc()
        if self.flow.write_paused:
            self.transport.abort()  # closing would wait for what the caller does not take
        elif why == "full":
            retry = {"connection": "close", "retry-after": "1"}
            self._refuse(
                ProblemError(503, "too_many_connections", "the scorer serves no more connections", headers=retry)
            )
        elif self.cycle is not None and not self.cycle.response_complete and not self.cycle.response_started:
            self._refuse(incomplete())
        else:
            self.transport.close()

    def _refuse(self, problem: ProblemError) -> None:
        body = problem.body(None)
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body)
        self.transport.close()


def sweep(connections: Collection[Any], within_s: float, most: int) -> None:
    """Close those of the server's connections that have kept us waiting for longer than `within_s` seconds.

    At most `most` are served at once, fewer if the process may not open as many files: that limit may change under it.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = most if soft == resource.RLIM_INFINITY else min(most, soft - RESERVED)
    Bounded.most = max(FEWEST, room)
    overdue = asyncio.get_running_loop().time() - within_s
    waiting = sorted((each for each in connections if each.since is not None), key=lambda each: each.since)
    for place, each in enumerate(waiting):
        if each.since < overdue:
            each.drop("slow")
        elif len(connections) - place > Bounded.most:
            each.drop("room")
