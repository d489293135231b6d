"""Maps chunks of rows on all cores, in order; in this process while there is too little to share."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import pyarrow as pa

CHUNK = 20_000
"""Rows that are worth sending to another process."""
ALONE = 40_000
"""Rows up to which starting other processes costs more than it saves."""

Part = TypeVar("Part")


def map_chunks(work: Callable[[pa.Table], Part], chunks: Iterator[pa.Table]) -> Iterator[Part]:
    """Yield `work(chunk)` of each chunk, in order; `work` is a function that other processes can import."""
    done = 0
    for chunk in chunks:
        yield work(chunk)
        done += chunk.num_rows
        if done >= ALONE:
            break
    else:
        return
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from _ahead(pool, work, chunks, 2 * workers)


def _ahead(pool: Executor, work: Callable[[pa.Table], Part], chunks: Iterator[pa.Table], most: int) -> Iterator[Part]:
    """Keep at most `most` chunks under way, so that memory holds a few chunks and not the lake."""
    under_way: deque[Future[Part]] = deque()
    for chunk in chunks:
        under_way.append(pool.submit(work, chunk))
        if len(under_way) >= most:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()
