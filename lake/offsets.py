"""Offsets of a topic that no reader is given: a transaction's markers and the records that it took back."""

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from clients import kafka
from contracts.topics import Topic

Kept = Mapping[int, tuple[int, int]]
"""Partition to the first offset that Kafka still has and the one after the last."""

FEW = 10_000
"""Missing offsets up to which Kafka is asked about each: more are on their way to Bronze, and asking reads them."""


def gaps(database: duckdb.DuckDBPyConnection, kept: Kept) -> dict[int, list[range]]:
    """Return the ranges of offsets of each partition that are neither in `found` nor in `dead`."""
    ends = pa.table(
        {"number": pa.array(kept, pa.int32()), "last": pa.array([end for _, end in kept.values()], pa.int64())}
    )
    database.register("ends", ends)
    missing: dict[int, list[range]] = {partition: [] for partition in kept}
    for partition, begin, end in database.execute("""
        with claimed as (
            select source_partition as number, source_offset as place from found
            union select source_partition, source_offset from dead
            union select number, -1 from ends
            union select number, last from ends
        )
        select number, place + 1, following from (
            select number, place, lead(place) over (partition by number order by place) as following from claimed
        ) where following > place + 1 and number in (select number from ends) order by all""").fetchall():
        missing[partition].append(range(begin, min(end, kept[partition][1])))
    return missing


def nobodys(topic: Topic, kept: Kept, missing: Mapping[int, Sequence[range]]) -> int:
    """Count the `missing` offsets that Kafka still has and that a reader of committed records is not given."""
    count = 0
    for partition, (first, _) in kept.items():
        mine = [range(max(gap.start, first), gap.stop) for gap in missing[partition] if gap.stop > first]
        if mine:
            begin, end = {partition: mine[0].start}, {partition: mine[-1].stop}
            there = {message.offset() for message in kafka.read_all(topic.name, begin, end)}
            count += sum(len(gap) - sum(offset in there for offset in gap) for gap in mine)
    return count
