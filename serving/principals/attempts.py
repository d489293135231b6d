"""Bounds failed attempts to sign in, per address and overall; who goes on failing waits longer each time."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable

FREE = 5
"""Failures of an address before it must wait."""
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 900.0
FORGOTTEN_S = 3_600.0
OVERALL = 60
"""Failures of all addresses together in OVERALL_S."""
OVERALL_S = 60.0
MOST_ADDRESSES = 10_000


class Attempts:
    """The failures of this process; `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without failures."""
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._recent: deque[float] = deque(maxlen=OVERALL)

    def wait_s(self, address: str) -> float:
        """Return how long `address` must wait for its next attempt; 0: it may try now."""
        now = self._clock()
        overall = self._recent[0] + OVERALL_S - now if len(self._recent) == OVERALL else 0.0
        count, last = self._failures.get(address, (0, 0.0))
        own = 0.0
        if count >= FREE and now - last < FORGOTTEN_S:
            own = last + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (count - FREE)) - now
        return max(0.0, overall, own)

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        count, last = self._failures.pop(address, (0, now))
        self._failures[address] = (count + 1 if now - last < FORGOTTEN_S else 1, now)
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        self._recent.append(now)

    def succeeded(self, address: str) -> None:
        """Forget the failures of an address."""
        self._failures.pop(address, None)
