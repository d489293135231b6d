"""The load generator counts every request and charges a stall to every request that it held up."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.load.connections import Post
from bench.load.http import closed_loop, open_loop

BODY = json.dumps({"transaction_id": "a"}).encode()


@contextmanager
def server(stall_at: int | None = None, stall_s: float = 0.0, drop_every: int | None = None) -> Iterator[str]:
    """A keep-alive HTTP server that may stall once, as a whole, or drop each n-th request unanswered."""
    ready, seen = threading.Event(), itertools.count(1)
    address, loops = [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                count = next(seen)
                if count == stall_at:
                    time.sleep(stall_s)  # noqa: ASYNC251 - the whole server is to stall
                if drop_every and count % drop_every == 0:
                    break
                status = b"503 Service Unavailable" if b"x-fail" in head else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            loops.append(asyncio.get_running_loop())
            address.append(listening.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(5)
    yield f"http://127.0.0.1:{address[0]}/predict"
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(5)


def test_open_loop_sends_exactly_the_rate() -> None:
    """Rate times seconds requests are sent and each of them is counted once."""
    with server() as url:
        answers = open_loop(Post(url), itertools.repeat(BODY), rate=200, seconds=1)
    assert answers.counts == {"200": 200}
    assert answers.failed == 0
    assert answers.seconds == pytest.approx(1.0, abs=0.3)


def test_a_stall_is_charged_to_the_requests_it_held_up() -> None:
    """A server that stalls 0.5 s at 200/s shows about a hundred slow requests, not one."""
    with server(stall_at=20, stall_s=0.5) as url:
        answers = open_loop(Post(url), itertools.repeat(BODY), rate=200, seconds=1)
    slow = [ms for ms in answers.latency_ms if ms > 50]
    assert len(slow) >= 70
    assert max(slow) >= 480


def test_every_refused_request_is_counted() -> None:
    """With nobody listening each request counts as refused; none is lost and none is retried."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = open_loop(Post(f"http://127.0.0.1:{port}/"), itertools.repeat(BODY), rate=100, seconds=0.5)
    assert answers.counts == {"refused": 50}
    assert answers.failed == 50


def test_dropped_and_failed_requests_are_told_apart() -> None:
    """A connection closed without an answer is a reset; a 503 is a 503; both are failures."""
    with server(drop_every=10) as url:
        answers = open_loop(Post(url), itertools.repeat(BODY), rate=100, seconds=1)
    assert answers.counts == {"200": 90, "reset": 10}
    with server() as url:
        answers = open_loop(Post(url, {"x-fail": "1"}), itertools.repeat(BODY), rate=100, seconds=0.5)
    assert answers.counts == {"503": 50}
    assert answers.failed == 50


def test_overdue_requests_are_timeouts() -> None:
    """A request without an answer in time is counted as a timeout, and the run ends."""
    with server(stall_at=1, stall_s=1.5) as url:
        answers = open_loop(Post(url), itertools.repeat(BODY), rate=20, seconds=0.5, timeout_s=0.4)
    assert answers.counts["timeout"] >= 5
    assert sum(answers.counts.values()) == 10


def test_closed_loop_keeps_its_connections_busy() -> None:
    """Closed loop sends far more than open loop would at one request a connection, and sees each answer's body."""
    bodies = []
    with server() as url:
        answers = closed_loop(
            Post(url), itertools.repeat(BODY), connections=4, seconds=0.5, on_answer=lambda _, body: bodies.append(body)
        )
    assert answers.failed == 0
    assert len(answers.outcomes) == len(bodies) > 100
    assert set(bodies) == {b"{}"}
    assert answers.rate == pytest.approx(len(bodies) / answers.seconds)


def test_summary_adds_up_by_second() -> None:
    """The seconds of a summary hold every request exactly once."""
    with server() as url:
        summary = open_loop(Post(url), itertools.repeat(BODY), rate=100, seconds=1.5).summary()
    assert sum(sum(second["by_outcome"].values()) for second in summary["by_second"]) == summary["requests"] == 150
    assert set(summary["latency_ms"]) == {"p50", "p90", "p99", "p99_9", "max"}
