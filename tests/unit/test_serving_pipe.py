"""Requests under way share round trips; a failed one fails them all alike, and nobody waits for ever."""

import asyncio

import pytest

from errors import ServerError, UnreachableError
from serving.online.breaker import Breaker, Limits
from serving.online.idempotency import Asked, ConflictError, Memory
from serving.online.pipe import LARGEST_BATCH, Pipe


def test_waiting_commands_share_the_next_round_trip():
    """What arrives while a round trip is out goes together with the next; each caller gets its own answers."""
    sizes = []

    async def run(commands):
        sizes.append(len(commands))
        await asyncio.sleep(0.001)
        return [command[1] * 2 for command in commands]

    async def story():
        pipe = Pipe(run, Breaker(Limits(timeout_s=1)))
        return await asyncio.gather(*(pipe.send([(b"GET", n), (b"GET", -n)]) for n in range(1, 41)))

    assert asyncio.run(story()) == [[2 * n, -2 * n] for n in range(1, 41)]
    assert sum(sizes) == 80
    assert len(sizes) <= 2


def test_batches_are_bounded():
    """A crowd is sent in batches of bounded size."""
    sizes = []

    async def run(commands):
        sizes.append(len(commands))
        return [None] * len(commands)

    async def story():
        pipe = Pipe(run, Breaker(Limits(timeout_s=1)))
        await asyncio.gather(*(pipe.send([(b"GET", n)]) for n in range(3 * LARGEST_BATCH)))

    asyncio.run(story())
    assert max(sizes) <= LARGEST_BATCH


def test_a_hanging_server_fails_all_in_time_and_then_costs_nothing():
    """A server that never answers fails everybody within the time limit, and once the breaker is open, at once."""
    tried = 0

    async def run(_commands):
        nonlocal tried
        tried += 1
        await asyncio.sleep(3600)

    async def story():
        pipe = Pipe(run, Breaker(Limits(minimum=3, timeout_s=0.02, wait_s=60)))
        for _ in range(10):
            async with asyncio.timeout(1):
                found = await asyncio.gather(*(pipe.send([(b"GET", 1)]) for _ in range(5)), return_exceptions=True)
            assert all(isinstance(each, UnreachableError) for each in found)

    asyncio.run(story())
    assert tried == 3


def test_a_refused_command_is_its_callers_alone():
    """A command that Redis refuses fails its caller; the others of the round trip have their answers."""

    async def run(commands):
        return [ServerError("out of memory") if name == b"SET" else b"value" for name, *_ in commands]

    async def story():
        pipe = Pipe(run, Breaker(Limits(timeout_s=1)))
        return await asyncio.gather(pipe.send([(b"GET", 1)]), pipe.send([(b"SET", 1)]), return_exceptions=True)

    got, refused = asyncio.run(story())
    assert got == [b"value"]
    assert isinstance(refused, ServerError)


def test_a_caller_that_leaves_harms_nobody():
    """A cancelled request leaves the others' answers in place."""

    async def run(commands):
        await asyncio.sleep(0.01)
        return [command[1] for command in commands]

    async def story():
        pipe = Pipe(run, Breaker(Limits(timeout_s=1)))
        tasks = [asyncio.create_task(pipe.send([(b"GET", n)])) for n in range(6)]
        await asyncio.sleep(0.002)
        tasks[0].cancel()
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(story())
    assert [each for each in found if not isinstance(each, asyncio.CancelledError)] == [[1], [2], [4], [5]]


def test_memory_keeps_the_first_and_is_bounded():
    """The first answer stands; beyond its bound the oldest are let go."""
    memory = Memory(2)
    assert memory.keep(b"a", b"1") == b"1"
    assert memory.keep(b"a", b"2") == b"1"
    memory.keep(b"b", b"1")
    memory.keep(b"c", b"1")
    assert [memory.get(key) for key in (b"a", b"b", b"c")] == [None, b"1", b"1"]


def test_another_body_is_a_conflict():
    """A kept answer is given back to the same body only."""
    ask = Asked(b"key", b"f" * 16)
    assert ask.recall(ask.keep(b"answer")) == b"answer"
    with pytest.raises(ConflictError):
        Asked(b"key", b"g" * 16).recall(ask.keep(b"answer"))
