"""Windows made again on purpose: everything kept is forgotten, and the running stream reads 25 hours of Kafka again."""

import time
from collections.abc import Callable

from redis.exceptions import RedisError

from clients import redis
from errors import UnreachableError
from features import SECOND_US, WINDOW_TTL_S
from serving.online.windows import HELD, PREFIX, PROGRESS_KEYS, Progress

LONGEST_S = 3_600.0
LOOK_S = 1.0


def run(say: Callable[[str], None]) -> None:
    """Forget all windows, then wait until each partition is observed up to now; UnreachableError if it never is.

    While they are forgotten nothing can be written: the stream decides without windows. Killed half way, the partitions
    stay so, and the command must be run again.
    """
    client = redis.connect()
    try:
        client.mset(dict.fromkeys(PROGRESS_KEYS, Progress(HELD, 0).pack()))
        forgotten = 0
        for name in client.scan_iter(PREFIX + b"*", count=10_000):
            forgotten += int(client.unlink(name))
        client.delete(*PROGRESS_KEYS)
        say(f"{forgotten:,} windows forgotten; the stream observes the last 25 hours again")
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            values: list[bytes | None] = client.mget(PROGRESS_KEYS)  # type: ignore[assignment]  # bytes by default
            found = [Progress.unpack(value) for value in values]
            missing_s = [max(0, time.time_ns() // 1_000 - each.at_us) // SECOND_US for each in found]
            if max(missing_s) <= WINDOW_TTL_S:
                say("all windows are whole again")
                return
            here = ", ".join(
                f"{n}: {'not begun' if not p.at_us else f'{s:,} s missing'}"
                for n, (p, s) in enumerate(zip(found, missing_s, strict=True))
            )
            say(f"partition {here}")
            time.sleep(LOOK_S)
    except (RedisError, OSError) as error:
        raise redis.mapped(error, "making windows again") from error
    raise UnreachableError("the windows are not whole after an hour: does the stream run? See `make logs S=stream`")
