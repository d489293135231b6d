"""Feature writers as they are usually written: a hash an entity, one HSET after another, and the same pipelined."""

from collections.abc import Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

Entities = Sequence[tuple[str, dict[str, float]]]
"""Pairs of (key, feature name to value)."""
PIPELINE = 1_000


def one_by_one(client: "redis.Redis", entities: Entities) -> float:
    """Write each entity by its own HSET, waiting for each answer; return entities/s."""
    started = perf_counter()
    for key, values in entities:
        client.hset(key, mapping=values)  # type: ignore[arg-type]  # redis-py's own mapping type is narrower than it is
    return len(entities) / (perf_counter() - started)


def pipelined(client: "redis.Redis", entities: Entities) -> float:
    """Write the same HSETs in pipelines of 1,000; return entities/s."""
    started = perf_counter()
    for batch in _batches(entities, PIPELINE):
        pipeline: Any = client.pipeline(transaction=False)
        for key, values in batch:
            pipeline.hset(key, mapping=values)
        pipeline.execute()
    return len(entities) / (perf_counter() - started)


def _batches(entities: Entities, size: int) -> Iterator[list[tuple[str, dict[str, float]]]]:
    items = iter(entities)
    while batch := list(islice(items, size)):
        yield batch
