"""How much a key may send: a token bucket, whose refusal says when to come again."""

import time
from dataclasses import dataclass, field

from serving.http.problems import ProblemError


@dataclass
class Bucket:
    """A token bucket: `rate` tokens a second, at most `burst` at once; it begins full."""

    rate: float
    burst: float
    what: str = "payments"
    tokens: float = field(init=False)
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Fill it."""
        self.tokens = self.burst

    def take(self, cost: float) -> None:
        """Take `cost` tokens; ProblemError 429 saying how long to wait if there are not enough.

        What costs more than the bucket holds is let through when it is full, and paid for afterwards.
        """
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        needed = min(cost, self.burst)
        if self.tokens < needed:
            wait = str(max(1, round((needed - self.tokens) / self.rate + 0.5)))
            raise ProblemError(
                429,
                "too_many_requests",
                f"more than {self.rate:g} {self.what} a second with this key",
                headers={"retry-after": wait},
            )
        self.tokens -= cost
