"""Counts Redis against Gold: the rows of the newest published day, and what stands online for each."""

from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from clients.redis import mapped
from serving.online.packing import Kind, unpack
from serving.online.profiles import read_row
from serving.online.writer import gold

BATCH = 2_000


@dataclass
class Count:
    """One kind. gold: rows of the newest published day; redis: those of them that stand in Redis, as missing, older,
    newer or different ones do not; dormant: other keys, of entities without a row on that day, which will expire.
    """

    gold: int = 0
    redis: int = 0
    dormant: int = 0
    missing: int = 0
    older: int = 0
    newer: int = 0
    different: int = 0

    @property
    def equal(self) -> bool:
        """Whether every row of Gold stands in Redis."""
        return self.gold == self.redis


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
        for keys, values in gold.batches(rows, BATCH) if rows else ():
            stored: list[bytes | None] = client.mget(keys)  # type: ignore[assignment]  # not awaited, not decoded
            for value, found in zip(values, stored, strict=True):
                _count(count, kind, value, found)
        keys_online = sum(1 for _ in client.scan_iter(kind.prefix + b"*", count=5_000))
        count.dormant = keys_online - count.gold + count.missing
    except (RedisError, OSError) as error:
        raise mapped(error, f"comparing {kind} features") from error
    return count


def _count(count: Count, kind: Kind, value: bytes, found: bytes | None) -> None:
    count.gold += 1
    if found == value:
        count.redis += 1
        return
    wanted, row = unpack(kind, value), read_row(kind, found) if found and len(found) == len(value) else None
    if found is None:
        count.missing += 1
    elif row is None or (row.day, row.version) == (wanted.day, wanted.version):
        count.different += 1
    elif (row.day, row.version) < (wanted.day, wanted.version):
        count.older += 1
    else:
        count.newer += 1
