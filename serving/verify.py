"""Counts Redis against Gold: every entity's newest published row, and what stands online for it."""

from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from clients.redis import mapped
from serving import gold
from serving.online import read_row
from serving.packing import Kind

BATCH = 2_000


@dataclass
class Count:
    """One kind: entities in Gold and in Redis; those missing, older, newer or of other features or values in Redis."""

    gold: int = 0
    redis: int = 0
    missing: int = 0
    older: int = 0
    newer: int = 0
    different: int = 0

    @property
    def equal(self) -> bool:
        """Whether Redis has exactly Gold's rows (and, for entities that Gold let go, rows that will expire)."""
        return not (self.missing or self.older or self.newer or self.different)


def verify(client: Redis) -> dict[Kind, Count]:
    """Compare both kinds, value by value; ServerError if a server fails."""
    now = gold.clock()
    return {kind: _compare(client, kind, gold.rows(kind, now)) for kind in Kind}


def report(counts: dict[Kind, Count]) -> dict[str, Any]:
    """Return the counts as plain values, with the verdict under `equal`."""
    return {kind.value: asdict(count) for kind, count in counts.items()} | {
        "equal": all(count.equal for count in counts.values())
    }


def _compare(client: Redis, kind: Kind, rows: gold.Rows | None) -> Count:
    count = Count()
    try:
        count.redis = sum(1 for key in client.scan_iter(kind.prefix + b"*", count=5_000))
        for keys, values in gold.batches(rows, BATCH) if rows else ():
            stored: list[bytes | None] = client.mget(keys)  # type: ignore[assignment]  # not awaited, not decoded
            for value, found in zip(values, stored, strict=True):
                _count(count, kind, value, found)
    except (RedisError, OSError) as error:
        raise mapped(error, f"comparing {kind} features") from error
    return count


def _count(count: Count, kind: Kind, value: bytes, found: bytes | None) -> None:
    count.gold += 1
    if found == value:
        return
    wanted, row = read_row(kind, value), read_row(kind, found) if found and len(found) == len(value) else None
    assert wanted is not None
    if found is None:
        count.missing += 1
    elif row is None or (row.day, row.version) == (wanted.day, wanted.version):
        count.different += 1
    elif (row.day, row.version) < (wanted.day, wanted.version):
        count.older += 1
    else:
        count.newer += 1
