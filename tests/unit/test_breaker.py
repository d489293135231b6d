"""The circuit breaker keeps resilience4j's promises, whatever happens and in whatever order."""

import asyncio

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from errors import UnreachableError
from serving.online.breaker import Breaker, Limits, RefusedError, State

LIMITS = Limits(window=6, minimum=4, failure_rate=0.5, slow_rate=0.75, timeout_s=5, slow_s=0.1, wait_s=10, probes=2)


class Clock:
    """A clock that moves only when told."""

    now = 100.0

    def __call__(self):
        """Return the time, in seconds."""
        return self.now


class BreakerMachine(RuleBasedStateMachine):
    """A plain model of the rules beside the real breaker, with calls that overlap, fail, dawdle and are cancelled."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.breaker = Breaker(LIMITS, self.clock)
        self.model, self.window, self.opened_at, self.era = State.CLOSED, [], 0.0, 0
        self.calls = []

    def teardown(self):
        """Cancel what is still under way."""
        for _, task, _, _ in self.calls:
            task.cancel()
        self._turn()
        self.loop.close()

    def _turn(self):
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))

    def _expected_state(self):
        if self.model is State.OPEN and self.clock.now - self.opened_at >= LIMITS.wait_s:
            self._enter(State.HALF_OPEN)
        return self.model

    def _enter(self, state):
        self.model, self.window, self.era = state, [], self.era + 1
        if state is State.OPEN:
            self.opened_at = self.clock.now

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 9.99, 10.0]))
    def time_passes(self, seconds):
        """The clock alone turns open into half open."""
        self.clock.now += seconds

    @rule()
    def begin(self):
        """A call passes exactly when the breaker is closed, or half open with no probe under way."""
        state = self._expected_state()
        probing = any(era == self.era for _, _, era, _ in self.calls)
        may_pass = state is State.CLOSED or (state is State.HALF_OPEN and not probing)
        gate = self.loop.create_future()

        async def operation():
            return await gate

        task = self.loop.create_task(self.breaker.call(operation))
        self._turn()
        if may_pass:
            assert not task.done()
            self.calls.append((gate, task, self.era, self.clock.now))
        else:
            with pytest.raises(RefusedError):
                task.result()

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), outcome=st.sampled_from(["good", "bad", "cancelled"]))
    def end(self, data, outcome):
        """A call of this era is counted once, a cancelled one and one of an earlier era never."""
        self._expected_state()
        gate, task, era, began = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        if outcome == "good":
            gate.set_result("answer")
        elif outcome == "bad":
            gate.set_exception(ConnectionError("gone"))
        else:
            task.cancel()
        self._turn()
        assert task.done()
        if outcome == "bad":
            assert isinstance(task.exception(), ConnectionError)
        if outcome == "cancelled" or era != self.era:
            return
        self.window = [*self.window, (outcome == "bad", self.clock.now - began >= LIMITS.slow_s)][-LIMITS.window :]
        needed = LIMITS.probes if self.model is State.HALF_OPEN else LIMITS.minimum
        if len(self.window) >= needed:
            failed, slow = (sum(column) / len(self.window) for column in zip(*self.window, strict=True))
            if failed >= LIMITS.failure_rate or slow >= LIMITS.slow_rate:
                self._enter(State.OPEN)
            elif self.model is State.HALF_OPEN:
                self._enter(State.CLOSED)

    @invariant()
    def states_agree(self):
        """The breaker is in the state that the rules say."""
        assert self.breaker.state is self._expected_state()


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = hypothesis_settings(max_examples=100, stateful_step_count=50, deadline=None)


def fails(error):
    async def operation():
        raise error

    return operation


async def hangs():
    await asyncio.sleep(3600)


async def answers():
    return "answer"


def test_opens_on_timeouts_and_recovers_by_probes():
    """Calls that hang are given up in time, open the breaker, and a few good probes close it again."""
    clock = Clock()
    breaker = Breaker(Limits(window=6, minimum=4, timeout_s=0.01, wait_s=10, probes=2), clock)

    async def story():
        for _ in range(4):
            with pytest.raises(UnreachableError, match="10 ms"):
                await breaker.call(hangs)
        with pytest.raises(RefusedError):
            await breaker.call(answers)
        clock.now += 10
        assert [await breaker.call(answers) for _ in range(2)] == ["answer"] * 2
        assert breaker.state is State.CLOSED

    asyncio.run(story())


def test_a_failed_probe_opens_again():
    """Half open with failing probes goes back to open, and waits its whole time again."""
    clock = Clock()
    breaker = Breaker(LIMITS, clock)

    async def story():
        for _ in range(LIMITS.minimum):
            with pytest.raises(OSError):
                await breaker.call(fails(OSError("gone")))
        clock.now += LIMITS.wait_s
        for _ in range(LIMITS.probes):
            with pytest.raises(OSError):
                await breaker.call(fails(OSError("gone")))
        assert breaker.state is State.OPEN
        clock.now += LIMITS.wait_s - 0.01
        assert breaker.state is State.OPEN

    asyncio.run(story())


def test_few_failures_do_not_open():
    """Below the minimum number of calls, no rate means anything."""
    breaker = Breaker(LIMITS, Clock())

    async def story():
        for _ in range(LIMITS.minimum - 1):
            with pytest.raises(OSError):
                await breaker.call(fails(OSError("gone")))
        assert breaker.state is State.CLOSED

    asyncio.run(story())
