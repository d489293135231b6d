"""From Gold to Redis: the feature writer into an empty store of its own, beside HSETs of the same entities."""

import redis

from bench import stack
from bench.figures import Figure, Section, at_least, ratios
from bench.lake import gold
from bench.peers import writers

CARDS = 100_000
ACCEPTORS = 50_000
SLOW = 20_000
"""Entities written by the slow peers; their rate does not depend on how many."""


def measure(runs: int = 5) -> Section:
    """Publish all entities into an empty store, then write the same ones naively, in turn."""
    total, ours, naive, pipelined = [], [], [], []
    with gold.many(CARDS, ACCEPTORS) as (environment, entities), stack.redis_server() as url:
        some = entities[:: len(entities) // SLOW]
        with redis.Redis.from_url(url) as client:
            for _ in range(runs):
                client.flushall()
                report = stack.report("serving", "feature-writer", environment=environment | {"REDIS_URL": url})
                sent = sum(kind["written"] for kind in report)
                total.append(sent / sum(kind["read_s"] + kind["push_s"] for kind in report))
                ours.append(sent / sum(kind["push_s"] for kind in report))
                client.flushall()
                naive.append(writers.one_by_one(client, some))
                client.flushall()
                pipelined.append(writers.pipelined(client, some))
    return Section(
        "Features: Gold to Redis",
        [
            Figure(
                "feature writer, Gold to Redis", "entities/s", total, at_least(30_000), f"{len(entities):,} entities"
            ),
            Figure("its Redis part", "entities/s", ours, None, "compares versions, sets an expiry"),
            Figure("HSET one after another", "entities/s", naive),
            Figure("HSET pipelined by 1,000", "entities/s", pipelined),
            Figure("Redis part over one HSET after another", "x", ratios(ours, naive), at_least(4)),
        ],
    )
