"""A repeated lake is many lakes beside each other: each copy has cards, ids and places of its own."""

import pyarrow as pa

from bench.lake.many import FAR, copied

PAID = pa.table(
    {
        "card_id": ["a" * 64, "b" * 64, "a" * 64],
        "transaction_id": ["t1", "t2", "t3"],
        "source_offset": pa.array([5, 6, 7], pa.int64()),
        "amount": [1.0, 2.0, 3.0],
    }
)
DECIDED = pa.table({"card_id": ["b" * 64], "transaction_id": ["t2"], "payment_offset": pa.array([6], pa.int64())})


def test_copies_of_two_tables_still_meet():
    """A decision's copy has the card, id and place of its payment's copy, and those of no other copy."""
    paid, decided = copied(PAID, 3).to_pylist(), copied(DECIDED, 3).to_pylist()
    assert [decided[0][name] for name in ("card_id", "transaction_id")] == [paid[1]["card_id"], "t2~3"]
    assert decided[0]["payment_offset"] == paid[1]["source_offset"] == 6 + 3 * FAR
    assert paid[0]["card_id"] == paid[2]["card_id"] != paid[1]["card_id"]
    assert not {each["card_id"] for each in paid} & {each["card_id"] for each in copied(PAID, 4).to_pylist()}


def test_a_copy_changes_nothing_else():
    """The first copy is the rows themselves; in any other, all further columns and the types are the same."""
    assert copied(PAID, 0) is PAID
    other = copied(PAID, 1)
    assert other.schema == PAID.schema
    assert other["amount"] == PAID["amount"]
    assert all(len(card) == 64 for card in other["card_id"].to_pylist())
