"""The offsets of the query: what its checkpoint has planned, and where a new checkpoint must begin."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from clients import kafka, s3
from errors import LakehouseError
from streaming.places import Flow

Offsets = Mapping[str, Mapping[int, int]]
"""Topic to partition to the next offset to read."""


@dataclass(frozen=True)
class Plan:
    """One planned batch: the offsets that it ends before, and the clock (UTC milliseconds) when it was planned."""

    ends: Offsets
    time_ms: int


def planned(flow: Flow, batch_id: int) -> Plan | None:
    """Return the plan of a batch from the checkpoint, or None; it stays the same when the batch is repeated."""
    found = s3.read(f"{flow.checkpoint}/offsets/{batch_id}", "spark")
    return parse(found.body.decode()) if found else None


def parse(text: str) -> Plan:
    """Read Spark's offset log: a version, a line of metadata, a line of offsets for each source."""
    try:
        _, metadata, offsets = text.strip().split("\n")
        ends = {topic: {int(p): int(o) for p, o in found.items()} for topic, found in json.loads(offsets).items()}
        return Plan(ends, int(json.loads(metadata)["batchTimestampMs"]))
    except (ValueError, KeyError, AttributeError) as error:
        raise LakehouseError(f"the checkpoint's offset log is not as Spark 4.2 writes it: {text[:300]}") from error


def newest(flow: Flow) -> Plan | None:
    """Return the checkpoint's newest plan, or None where no query has begun."""
    names = (key.rpartition("/")[2] for key in s3.keys(f"{flow.checkpoint}/offsets/", "spark"))
    numbers = [int(name) for name in names if name.isdecimal()]
    return planned(flow, max(numbers)) if numbers else None


def query_id(flow: Flow) -> str:
    """Return the id of the query that the checkpoint belongs to: a new checkpoint means a new one."""
    found = s3.read(f"{flow.checkpoint}/metadata", "spark")
    if found is None:
        raise LakehouseError(f"{flow.checkpoint}/metadata is not there although its query runs; was it deleted?")
    return str(json.loads(found.body)["id"])


def forget(flow: Flow) -> None:
    """Delete a checkpoint: the next query begins anew."""
    for key in list(s3.keys(f"{flow.checkpoint}/", "spark")):
        s3.delete(key, "spark")


def beginning(flow: Flow, reached: Offsets, *, accept_gap: bool = False) -> dict[str, dict[int, int]]:
    """Return where a new checkpoint begins: behind what Bronze has `reached`, else at the topic's first offset.

    Raises LakehouseError when Kafka does not have that place any more, unless the gap is accepted.
    """
    begin: dict[str, dict[int, int]] = {}
    for topic in flow.topics:
        done = reached.get(topic, {})
        begin[topic] = {}
        for partition, (first, end) in kafka.offsets(topic).items():
            wanted = done.get(partition, first)
            kept = first <= wanted <= end
            if not kept and not accept_gap:
                raise LakehouseError(_gap(topic, partition, wanted, first, end))
            begin[topic][partition] = wanted if kept else first
    return begin


def counted(begin: Offsets, end: Offsets) -> dict[str, int]:
    """Return topic to the number of offsets from `begin` to `end`.

    What `begin` lacks (a partition newer than the plan) counts from 0.
    """
    return {
        topic: sum(offset - begin.get(topic, {}).get(partition, 0) for partition, offset in ends.items())
        for topic, ends in end.items()
    }


def _gap(topic: str, partition: int, wanted: int, first: int, end: int) -> str:
    what = "ended before they were read" if wanted < first else "were read from a topic that has been made anew"
    return (
        f"Bronze has {topic} partition {partition} up to offset {wanted}, Kafka has {first} to {end}: records {what}. "
        "Restore the topic, or accept the gap with `python -m streaming bronze --accept-data-loss`."
    )
