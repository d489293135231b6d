"""From Gold to Redis: the feature writer into an empty store of its own, beside HSETs of the same entities."""

from typing import Any

import redis

from bench import stack
from bench.figures import Figure, Section, at_least, ratios
from bench.peers import writers
from errors import InputError
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS
from lake import reading
from lake.tables import CARD_FEATURES, MERCHANT_RISK, Table

KINDS = (("card", "card_id", CARD_FEATURES, CARD_COLUMNS), ("acceptor", "acceptor_id", MERCHANT_RISK, ACCEPTOR_COLUMNS))


def measure(runs: int = 5) -> Section:
    """Publish all entities into an empty store, then write the same ones naively, in turn."""
    entities = newest()
    whole, ours, naive, pipelined = [], [], [], []
    with stack.redis_server() as url, redis.Redis.from_url(url) as client:
        for _ in range(runs):
            client.flushall()
            said = stack.report("serving", "feature-writer", environment={"REDIS_URL": url})
            whole.append(said["entities"] / said["seconds"])
            ours.append(said["entities"] / said["redis_seconds"])
            client.flushall()
            naive.append(writers.one_by_one(client, entities))
            client.flushall()
            pipelined.append(writers.pipelined(client, entities))
    return Section("Features: Gold to Redis", [
        Figure("feature writer, Gold to Redis", "entities/s", whole, at_least(30_000), f"{len(entities):,} entities"),
        Figure("its Redis part", "entities/s", ours),
        Figure("HSET one after another", "entities/s", naive),
        Figure("HSET pipelined by 1,000", "entities/s", pipelined),
        Figure("Redis part over one HSET after another", "x", ratios(ours, naive), at_least(4)),
    ])  # fmt: skip


def newest() -> list[tuple[str, dict[str, float]]]:
    """Return each entity's newest row as the naive writers take it; InputError when Gold is empty."""
    found: list[tuple[str, dict[str, float]]] = []
    for kind, key, table, columns in KINDS:
        found += [
            (f"profile:{kind}:{row.pop(key)}", {name: value for name, value in row.items() if value is not None})
            for row in _last_day(table, (key, *columns))
        ]
    if not found:
        raise InputError("Gold has no profiles yet; run `make refresh`")
    return found


def _last_day(table: Table, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    opened = reading.open_table(table)
    days = sorted(part["as_of_day"] for part in opened.partitions())
    return reading.read(opened, columns, [("as_of_day", "=", days[-1])]).to_pylist() if days else []
