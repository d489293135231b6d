"""HTTP load, open loop or closed, that counts every request.

Open loop: requests fall due at a constant rate whatever the server does, and a latency runs from the moment its request
was due, so a stall is charged to every request that it held up (no coordinated omission). Closed loop: N connections,
each sends as soon as it has its answer.
"""

from collections.abc import Iterator
from time import perf_counter

from bench.load.answers import Answers
from bench.load.connections import MOST_CONNECTIONS, Connections, OnAnswer, Post


def open_loop(
    post: Post,
    bodies: Iterator[bytes],
    rate: float,
    seconds: float,
    *,
    timeout_s: float = 10.0,
    on_answer: OnAnswer | None = None,
) -> Answers:
    """Send `rate` requests/s for `seconds` and wait for the last answer or its timeout; all of them are counted."""
    engine = Connections(post, bodies, timeout_s, MOST_CONNECTIONS, on_answer)
    total = round(rate * seconds)
    with engine:
        sent = 0
        while sent < total or engine.unanswered:
            now = perf_counter()
            while sent < total and (due := engine.start + sent / rate) <= now:
                engine.submit(due)
                sent += 1
            until = engine.start + sent / rate if sent < total else now + 0.05
            engine.turn(until - perf_counter())
    return engine.answers


def closed_loop(
    post: Post,
    bodies: Iterator[bytes],
    connections: int,
    seconds: float,
    *,
    timeout_s: float = 10.0,
    on_answer: OnAnswer | None = None,
) -> Answers:
    """Keep `connections` requests on the way for `seconds`; the rate is what the server makes of it."""
    engine = Connections(post, bodies, timeout_s, connections, on_answer)
    with engine:
        end = engine.start + seconds
        while (now := perf_counter()) < end or engine.unanswered:
            if now < end:
                for _ in range(connections - engine.unanswered):
                    engine.submit(now)
            engine.turn(0.05)
    return engine.answers
