"""A circuit breaker for asyncio with resilience4j's semantics: count window, slow calls count, probes one at a time."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import TypeVar

from errors import UnreachableError

T = TypeVar("T")
GRACE_TURNS = 4
"""Turns of the loop from bytes on the socket to the caller's wake-up."""


class State(StrEnum):
    """Closed: calls pass and are counted. Open: none passes. Half open: probes pass, one at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class _Patience:
    """Gives the body up after `seconds`, but not on an answer that has come and that a busy loop had no time to read.

    On a machine short of CPU the timer and the answer are often ready in the same turn of the loop; the timer alone
    would then call a healthy server slow.
    """

    __slots__ = ("_limit", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._timer: asyncio.Handle = self._loop.call_later(self._seconds, self._expire, GRACE_TURNS)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _expire(self, turns: int) -> None:
        if turns:
            self._timer = self._loop.call_soon(self._expire, turns - 1)
        else:
            self._limit.reschedule(self._loop.time())


class RefusedError(UnreachableError):
    """The breaker let this call through to nobody; the server is taken for gone until a probe succeeds."""


@dataclass(frozen=True)
class Limits:
    """When to open and how to come back. Rates are shares in (0, 1]; times are seconds.

    window: newest calls that are looked at; minimum: calls before a rate means anything; timeout_s: a call is given
    up; slow_s: a call counts as slow; wait_s: how long open lasts; probes: calls judged in half open.
    """

    window: int = 50
    minimum: int = 8
    failure_rate: float = 0.5
    slow_rate: float = 0.8
    timeout_s: float = 0.020
    slow_s: float = 0.015
    wait_s: float = 1.0
    probes: int = 3


class Breaker:
    """Guards calls to one server. Not for threads: one event loop owns it."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Start closed; `clock` returns seconds and never goes back."""
        self.limits = limits
        self._clock = clock
        self._state = State.CLOSED
        self._outcomes: deque[tuple[bool, bool]] = deque()
        self._failures = self._slow = 0
        """Of the outcomes; counted as they come and go, since this is asked after every call."""
        self._opened_at = 0.0
        self._probing = False
        self._era = 0  # a call that began before the last change of state tells nothing about this one

    @property
    def state(self) -> State:
        """The state now; open turns half open by the clock alone, so it is asked, not scheduled."""
        if self._state is State.OPEN and self._clock() - self._opened_at >= self.limits.wait_s:
            self._enter(State.HALF_OPEN)
        return self._state

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Await `operation()` within the time limit and count how it went; RefusedError if no call may pass.

        Raises UnreachableError when the time is up, else whatever the operation raised. A call that is cancelled
        from outside is not counted, and gives its place as probe back.
        """
        era = self._admit()
        began = self._clock()
        try:
            async with _Patience(self.limits.timeout_s):
                result = await operation()
        except TimeoutError as error:
            self._settle(era, failed=True, slow=True)
            raise UnreachableError(f"no answer within {self.limits.timeout_s * 1000:.0f} ms") from error
        except Exception:
            self._settle(era, failed=True, slow=self._clock() - began >= self.limits.slow_s)
            raise
        except BaseException:
            self._release(era)
            raise
        self._settle(era, failed=False, slow=self._clock() - began >= self.limits.slow_s)
        return result

    def _admit(self) -> int:
        state = self.state
        if state is State.OPEN or (state is State.HALF_OPEN and self._probing):
            raise RefusedError(
                f"the breaker is {state.value}; the server failed and is probed every {self.limits.wait_s:g} s"
            )
        self._probing = state is State.HALF_OPEN
        return self._era

    def _release(self, era: int) -> None:
        if era == self._era:
            self._probing = False

    def _settle(self, era: int, *, failed: bool, slow: bool) -> None:
        if era != self._era:
            return
        self._probing = False
        self._count(1, failed=failed, slow=slow)
        self._outcomes.append((failed, slow))
        if len(self._outcomes) > self.limits.window:
            oldest_failed, oldest_slow = self._outcomes.popleft()
            self._count(-1, failed=oldest_failed, slow=oldest_slow)
        needed = self.limits.probes if self._state is State.HALF_OPEN else self.limits.minimum
        if len(self._outcomes) < needed:
            return
        if self._too_many():
            self._enter(State.OPEN)
        elif self._state is State.HALF_OPEN:
            self._enter(State.CLOSED)

    def _too_many(self) -> bool:
        total = len(self._outcomes)
        return self._failures >= self.limits.failure_rate * total or self._slow >= self.limits.slow_rate * total

    def _count(self, by: int, *, failed: bool, slow: bool) -> None:
        self._failures += by * failed
        self._slow += by * slow

    def _enter(self, state: State) -> None:
        self._state = state
        self._era += 1
        self._outcomes.clear()
        self._failures = self._slow = 0
        self._probing = False
        if state is State.OPEN:
            self._opened_at = self._clock()
