"""The balance's parts that need no server: which payments are decided, which offsets are missing."""

from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from lake import decided, offsets

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def paid(offset, kind="authorization", hours=0, name=None):
    return {
        "source": "s",
        "transaction_id": name or f"t{offset}",
        "event_time": NOW - timedelta(hours=hours),
        "kafka_timestamp": NOW,
        "message_type": kind,
        "source_partition": 1,
        "source_offset": offset,
    }


def made(offset=None, name="", origin="stream"):
    place = None if offset is None else 1
    names = ("source", "transaction_id", "payment_partition", "payment_offset", "origin")
    return dict(zip(names, ("s", name or f"t{offset}", place, offset, origin), strict=True))


def match(payments, decisions):
    kinds = [pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string()]
    schema = pa.schema(list(zip((*decided.MADE, "origin"), kinds, strict=True)))
    return decided.match(pa.Table.from_pylist(payments), pa.Table.from_pylist(decisions, schema))


def test_each_payment_is_decided_or_set_aside_by_rule():
    """By its place, or by its id where /predict decided it; a second arrival of what the stream decided is its own."""
    payments = [
        paid(0),
        paid(1, kind="refund"),
        paid(2, hours=49),
        paid(3, name="asked"),
        paid(4, name="asked"),
        paid(5, kind="reversal", hours=50),
    ]
    found = match(payments, [made(0), made(name="asked", origin="api")])
    assert (found.decided, found.set_aside, found.problems) == (3, {"history": 2, "refund": 1}, ())


def test_an_undecided_payment_is_named():
    """A payment that nobody decided is a problem, also where one of the same id was decided by the stream."""
    found = match([paid(0, name="same"), paid(1, name="same"), paid(2)], [made(0, name="same"), made(0, name="same")])
    assert found.decided == 1
    assert "2 payments" in found.problems[0]
    assert match([paid(0)], []).problems


def test_gaps_are_what_nobody_claims():
    """Offsets between, before and behind the claimed ones, of every partition."""
    rows = {"source_partition": pa.array([0, 0, 0], pa.int32()), "source_offset": pa.array([1, 2, 5], pa.int64())}
    letters = {"source_partition": pa.array([0], pa.int32()), "source_offset": pa.array([4], pa.int64())}
    with duckdb.connect() as database:
        database.register("found", pa.table(rows))
        database.register("dead", pa.table(letters))
        found = offsets.gaps(database, {0: (0, 8), 1: (0, 2), 2: (0, 0)})
    assert found == {0: [range(1), range(3, 4), range(6, 8)], 1: [range(2)], 2: []}
