"""The feature writer: pushes what changed in Gold to Redis, never an older row over a newer one."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from clients.redis import mapped
from serving.online.packing import Kind, Meta
from serving.online.profiles import read_meta
from serving.online.writer import gold

EXPIRE_S = 45 * 86_400
BATCH = 1_000
PIPELINED = 8
"""Batches sent before answers are read."""

# KEYS: entities; ARGV[1]: seconds to live; ARGV[i + 1]: the value of KEYS[i]. Returns how many were written.
# A stored value of another program's features is always replaced; one of a later (as_of_day, version) never.
PUSH = """
local stored = redis.call('MGET', unpack(KEYS))
local standing = {}
local written = 0
for i, key in ipairs(KEYS) do
  local new, old = ARGV[i + 1], standing[key] or stored[i]
  local newer = true
  if old and #old == #new and string.sub(old, 1, 8) == string.sub(new, 1, 8) then
    local new_day, new_version = struct.unpack('<i4i8', string.sub(new, 9, 20))
    local old_day, old_version = struct.unpack('<i4i8', string.sub(old, 9, 20))
    newer = new_day > old_day or (new_day == old_day and new_version >= old_version)
  end
  if newer then
    redis.call('SET', key, new, 'EX', ARGV[1])
    standing[key] = new
    written = written + 1
  end
end
return written
"""


@dataclass(frozen=True)
class Pushed:
    """What one push did: entities sent, those that were written (others were newer already), and seconds spent."""

    kind: Kind
    sent: int
    written: int
    read_s: float
    push_s: float


def push(client: Redis, *, full: bool = False) -> Iterator[Pushed]:
    """Push both kinds, cards first; yields as each is done.

    Only rows written since the mark that stands in Redis, so an emptied Redis gets everything; all when `full`.
    """
    now = gold.clock()
    for kind in Kind:
        began = time.perf_counter()
        mark = None if full else _mark(client, kind)
        rows = gold.rows(kind, now, mark)
        read_s = time.perf_counter() - began
        if rows is None:
            yield Pushed(kind, 0, 0, read_s, 0.0)
            continue
        written = write(client, rows)
        _publish(client, kind, Meta(rows.day, rows.mark_us))
        yield Pushed(kind, len(rows.keys), written, read_s, time.perf_counter() - began - read_s)


def write(client: Redis, rows: gold.Rows) -> int:
    """Write packed rows in pipelined batches and return how many were taken; ServerError if Redis fails."""
    try:
        sha = client.script_load(PUSH)
        written, waiting = 0, client.pipeline(transaction=False)
        for number, (keys, values) in enumerate(gold.batches(rows, BATCH), 1):
            waiting.evalsha(sha, len(keys), *keys, EXPIRE_S, *values)
            if number % PIPELINED == 0:
                written += sum(waiting.execute())
        return int(written + sum(waiting.execute()))
    except (RedisError, OSError) as error:
        raise mapped(error, "pushing features") from error


def _mark(client: Redis, kind: Kind) -> int | None:
    try:
        meta = read_meta(client.get(kind.meta_key))
    except (RedisError, OSError) as error:
        raise mapped(error, f"reading the mark of {kind} features") from error
    return meta.mark_us if meta else None


def _publish(client: Redis, kind: Kind, meta: Meta) -> None:
    """Say what is published, after the rows are: a reader of the old meta with a new row still reads it right."""
    found: Any
    try:
        found = client.get(kind.meta_key)
        standing = read_meta(found)
        if standing is None or (standing.day, standing.mark_us) <= (meta.day, meta.mark_us):
            client.set(kind.meta_key, meta.pack())
    except (RedisError, OSError) as error:
        raise mapped(error, f"publishing {kind} features") from error
