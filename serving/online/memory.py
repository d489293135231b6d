"""What a store's memory holds: keys and bytes of each kind, and how many of them a gigabyte would hold."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from clients.redis import GB, mapped
from serving.online import idempotency, notes, windows
from serving.online.packing import Kind

SAMPLE = 2_000
"""Keys of each kind whose bytes are asked for."""
PREFIXES: Mapping[str, bytes] = {
    "card's profile": Kind.CARD.prefix,
    "acceptor's profile": Kind.ACCEPTOR.prefix,
    "card's window": windows.PREFIX,
    "card's notes": notes.PREFIX,
    "kept answer": idempotency.PREFIX,
}


@dataclass(frozen=True)
class Usage:
    """One kind: keys, and the mean bytes of one with all that the store needs for it (of a sample)."""

    kind: str
    keys: int
    bytes_each: float

    @property
    def a_gb(self) -> int:
        """How many of them a gigabyte holds."""
        return int(GB / self.bytes_each)


def measure(client: Redis) -> list[Usage]:
    """Return what each kind takes, those that are there; reads every key's name once. ServerError: it does not say."""
    counts: Counter[str] = Counter()
    chosen: dict[str, list[bytes]] = {kind: [] for kind in PREFIXES}
    draw = random.Random(0)  # noqa: S311 - a sample, no secret
    try:
        for key in client.scan_iter(count=5_000):
            kind = next((kind for kind, prefix in PREFIXES.items() if key.startswith(prefix)), None)
            if kind is None:
                continue
            counts[kind] += 1
            if len(chosen[kind]) < SAMPLE:
                chosen[kind].append(key)
            elif (place := draw.randrange(counts[kind])) < SAMPLE:
                chosen[kind][place] = key
        return [Usage(kind, counts[kind], _mean(client, keys)) for kind, keys in chosen.items() if keys]
    except (RedisError, OSError) as error:
        raise mapped(error, "measuring its memory") from error


def _mean(client: Redis, keys: list[bytes]) -> float:
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key, samples=0)
    found = [size for size in pipe.execute() if size]  # a key may have expired since
    return sum(found) / len(found) if found else 0.0
