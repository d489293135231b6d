"""Whether a part of the pipeline moves while something waits for it: silence is a symptom, whatever it said last."""

import time
from collections.abc import Callable, Hashable


class Progress:
    """Keeps each part's mark (a commit, the time of its last word), and since when it stands while something waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep nothing yet."""
        self._clock = clock
        self._marks: dict[str, Hashable] = {}
        self._since: dict[str, float] = {}

    def still_s(self, part: str, mark: Hashable, *, waits: bool) -> float:
        """Return for how many seconds `mark` has not moved while something waited; 0.0 when it moves or nothing does.

        Only what these calls saw counts: who asks seldom learns late.
        """
        now = self._clock()
        if not waits or part not in self._since or self._marks.get(part) != mark:
            self._marks[part], self._since[part] = mark, now
        return now - self._since[part]
