"""POST requests over many kept-alive connections from one thread, each of them counted with its outcome."""

import errno
import gc
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Self
from urllib.parse import urlsplit

from bench.load.answers import Answers
from errors import InputError

MOST_CONNECTIONS = 256
IDLE_S = 2.0
"""Servers close idle connections (uvicorn after 5 s); ours goes first, so that no request meets a closing one."""
READ_BYTES = 65_536
OnAnswer = Callable[[int, bytes], None]
READ = select.EPOLLIN | select.EPOLLRDHUP
BROKEN = select.EPOLLHUP | select.EPOLLERR


class Post:
    """A place to POST JSON to: where to connect, and the head that each request begins with."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        """Take an http:// URL and headers beside the ones every request has."""
        parts = urlsplit(url)
        if parts.scheme != "http":
            raise InputError(f"{url}: what is measured here is plain HTTP; `SCORER_TLS=off make up`, from down")
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        lines = {"host": parts.netloc, "content-type": "application/json"} | (headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._head = f"POST {parts.path or '/'} HTTP/1.1\r\n{head}content-length: ".encode()

    def request(self, body: bytes) -> bytes:
        """Return the whole request of one body."""
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


class _Connection:
    """One connection with at most one request on its way."""

    __slots__ = ("connecting", "due", "incoming", "length", "outgoing", "sent", "socket", "used")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failed = self.socket.connect_ex(address)
        if failed not in {0, errno.EINPROGRESS}:
            self.socket.close()
            raise OSError(failed, os.strerror(failed))
        self.connecting = True
        self.due: float | None = None
        self.sent = self.used = 0.0
        self.outgoing = b""
        self.incoming = b""
        self.length = -1


class Connections:
    """Kept-alive connections of one thread: what is on its way, what waits for one of them, and what was answered."""

    def __init__(
        self, post: Post, bodies: Iterator[bytes], timeout_s: float, most: int, on_answer: OnAnswer | None
    ) -> None:
        self._post, self._bodies, self._timeout_s, self._most = post, bodies, timeout_s, most
        self._on_answer = on_answer
        self._epoll = select.epoll()
        self._all: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._waiting: deque[float] = deque()
        self._swept = 0.0
        self.start = 0.0
        self.answers = Answers()

    def __enter__(self) -> Self:
        gc.collect()
        gc.disable()  # a collection of this process would look like a slow answer
        self.start = self._swept = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        gc.enable()
        self.answers.seconds = perf_counter() - self.start
        for connection in list(self._all.values()):
            self._close(connection)
        self._epoll.close()

    @property
    def unanswered(self) -> int:
        """Requests on their way or waiting for a connection."""
        return len(self._all) - len(self._idle) + len(self._waiting)

    def submit(self, due: float) -> None:
        """Send the next body, which was due at `due`, on an idle or new connection, or let it wait for one."""
        if self._idle:
            self._send(self._idle.pop(), due)
        elif len(self._all) < self._most:
            self._connect(due)
        else:
            self._waiting.append(due)

    def turn(self, wait_s: float) -> None:
        """Handle what arrives within `wait_s` seconds; sweep old connections and overdue requests now and then."""
        if wait_s > 0:
            # epoll's own timeout counts whole milliseconds; select on its descriptor counts microseconds.
            select.select([self._epoll], [], [], wait_s)
        for descriptor, events in self._epoll.poll(0):
            if (connection := self._all.get(descriptor)) is not None:
                self._handle(connection, events)
        if perf_counter() - self._swept > 0.1:
            self._sweep()

    def _connect(self, due: float) -> None:
        try:
            connection = _Connection(self._post.address)
        except OSError:
            self._count("refused", due)
            return
        connection.due, connection.sent = due, perf_counter()
        connection.outgoing = self._post.request(next(self._bodies))
        self._all[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket, READ | select.EPOLLOUT)

    def _send(self, connection: _Connection, due: float) -> None:
        connection.due, connection.sent = due, perf_counter()
        connection.incoming, connection.length = b"", -1
        connection.outgoing = self._post.request(next(self._bodies))
        self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        whole = connection.outgoing
        try:
            sent = connection.socket.send(whole)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail(connection, "reset")
            return
        connection.outgoing = whole[sent:]
        if connection.outgoing:
            self._epoll.modify(connection.socket, READ | select.EPOLLOUT)

    def _handle(self, connection: _Connection, events: int) -> None:
        if connection.connecting:
            if connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._fail(connection, "refused")
                return
            connection.connecting = False
        if events & select.EPOLLOUT:
            self._epoll.modify(connection.socket, READ)
            self._flush(connection)
        elif events & (READ | BROKEN):
            self._read(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._fail(connection, "reset")
            return
        incoming = connection.incoming = connection.incoming + data if connection.incoming else data
        if connection.length < 0:
            connection.length = _length(incoming)
        if 0 <= connection.length <= len(incoming) and (due := connection.due) is not None:
            self._answered(connection, due, incoming)

    def _answered(self, connection: _Connection, due: float, incoming: bytes) -> None:
        now = perf_counter()
        status = int(incoming[9:12])
        self._count(str(status), due, now, connection.sent)
        connection.due, connection.used = None, now
        if b"connection: close" in incoming[: connection.length].lower()[:1000]:
            self._close(connection)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)
        if self._on_answer is not None:
            self._on_answer(status, incoming.partition(b"\r\n\r\n")[2])

    def _fail(self, connection: _Connection, outcome: str) -> None:
        due = connection.due
        self._close(connection)
        if due is not None:
            self._count(outcome, due)
        if self._waiting:
            self._connect(self._waiting.popleft())

    def _count(self, outcome: str, due: float, now: float | None = None, sent: float | None = None) -> None:
        now = perf_counter() if now is None else now
        self.answers.add(outcome, due - self.start, (now - due) * 1e3, ((sent or due) - due) * 1e3)

    def _sweep(self) -> None:
        now = self._swept = perf_counter()
        while self._waiting and now - self._waiting[0] > self._timeout_s:
            self._count("timeout", self._waiting.popleft())
        while self._waiting and len(self._all) < self._most:
            self._connect(self._waiting.popleft())
        for connection in list(self._all.values()):
            if connection.due is not None and now - connection.due > self._timeout_s:
                self._fail(connection, "timeout")
            elif connection.due is None and now - connection.used > IDLE_S:
                self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._all.pop(connection.socket.fileno(), None)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()


def _length(incoming: bytes) -> int:
    """Return the bytes of the whole answer, -1 while its head is incomplete; without a length, what is there."""
    end = incoming.find(b"\r\n\r\n")
    if end < 0:
        return -1
    head = incoming[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return len(incoming)
    return end + 4 + int(head[at + 17 :].partition(b"\r\n")[0])
