"""How long each stage of a decision took: the laps that stand in its record."""

import time

import orjson


class Clock:
    """Microseconds of each stage of one batch."""

    def __init__(self) -> None:
        self.stages: dict[str, int] = {}
        self._last = time.perf_counter_ns()

    def lap(self, stage: str) -> None:
        """Note the time since the lap before as `stage`'s."""
        now = time.perf_counter_ns()
        self.stages[stage], self._last = (now - self._last) // 1_000, now

    def resume(self) -> None:
        """Leave out the time since the last lap: it was another batch's."""
        self._last = time.perf_counter_ns()

    def text(self, payments: int) -> str:
        """Return the stages so far, with the size of the batch, as JSON."""
        return orjson.dumps({"payments": payments, **self.stages}).decode()
