"""Windows as Redis keeps them, what they say of a payment, and what a batch of Kafka's messages becomes."""

import json
import math
import time

import numpy as np
import pytest

import features
from contracts import decision_header, schemas, wire
from contracts.partitioning import card_partition
from errors import ContractError, RejectedError
from features import Profile, Status, Window
from serving.decide.decision import InUse, Known, decide
from serving.decide.stages import Clock
from serving.online.windows import NONE, Card, Progress, judge, key, packed, read, write
from serving.stream import intake
from serving.stream.observer import take_in
from tests.unit.golden_features import ACCEPTOR, CARD, payment

NOW = time.time_ns() // 1_000
SECOND = features.SECOND_US
HOME = card_partition(b"ab" * 32)
KEY = b"k" * 32


def paid(**fields):
    return schemas.defaults("transaction") | payment(event_time=NOW, card_id="ab" * 32) | fields


def arrival(offset=5, at_us=NOW, **fields):
    return intake.Arrival(2, offset, at_us, b"framed", paid(**fields))


def fallback(found, vector):
    """Return the record of a decision without a model and without rules."""
    (made,) = decide([found.subject("topic")], [Known(vector)], InUse(None, None, None), NOW, Clock())
    return made.record


class Message:
    """A Kafka message as the consumer gives it."""

    def __init__(self, value, partition=HOME, offset=7, time_ms=NOW // 1_000, key=b"ab" * 32, headers=None):
        self._found = {
            "value": value,
            "partition": partition,
            "offset": offset,
            "timestamp": (2, time_ms),
            "key": key,
            "headers": headers,
        }

    def __getattr__(self, name):
        return lambda: self._found[name]


def busy():
    card = Card(2)
    take_in(card, arrival(offset=4, transaction_id="before", event_time=NOW - 60 * SECOND))
    return card


def test_a_card_is_stored_without_loss():
    """What is packed is read again: place on Kafka, events and late ones."""
    card = busy()
    again = Card.unpack(card.pack())
    assert (again.partition, again.offset, again.window.events) == (2, 4, card.window.events)


@pytest.mark.parametrize(
    "value",
    [b"", b"short", bytes(12) + b"\x09", Card(4).pack(), Card(-1).pack(), Card(2**31 - 1).pack()],
    ids=["empty", "short", "another version", "no such partition", "a negative one", "a corrupt one"],
)
def test_foreign_bytes_are_no_card(value):
    """Bytes that are no window are an error to the reader, and to the stream a card that begins anew."""
    with pytest.raises(ContractError):
        Card.unpack(value)
    assert read({"a": 3}, [value])["a"].pack() == Card(3).pack()
    assert judge(paid(), value, [Progress(9, NOW).pack()] * 4).status is Status.STALE


@pytest.mark.parametrize(
    ("value", "progress", "status"),
    [
        (busy().pack(), [(0, 0), (0, 0), (9, NOW), (0, 0)], Status.FRESH),
        (busy().pack(), [(0, NOW), (0, NOW), (9, NOW - 16 * SECOND), (0, NOW)], Status.STALE),
        (busy().pack(), [None] * 4, Status.STALE),
        (None, [(9, NOW)] * 4, Status.FRESH),
        (None, [(9, NOW)] * 3 + [(9, NOW - 16 * SECOND)], Status.STALE),
        (None, [(9, NOW)] * 3 + [None], Status.STALE),
    ],
    ids=["observed", "behind", "unobserved", "new card", "new card, one behind", "new card, one unobserved"],
)
def test_a_window_is_fresh_only_if_its_partition_is_observed(value, progress, status):
    """A card's own partition must be observed to 15 s before the payment; of an unknown card, all of them."""
    found = judge(paid(), value, [None if each is None else Progress(*each).pack() for each in progress])
    assert found.status is status
    if status is Status.FRESH:
        assert found.values[2] == (1 if value else 0)


def test_progress_names_its_topic():
    """A topic's id is kept with the offset; what was stored without one is read as of no topic in particular."""
    progress = Progress(7, NOW, bytes(range(16)))
    assert Progress.unpack(progress.pack()) == progress
    assert Progress.unpack(progress.pack()[:16]) == Progress(7, NOW)
    assert Progress.unpack(b"short") == Progress.unpack(None) == Progress(NONE, 0)


def test_a_payment_is_taken_in_once():
    """An offset that the window has seen is refused, so a batch taken again changes nothing."""
    card = busy()
    assert take_in(card, arrival(offset=5))
    assert not take_in(card, arrival(offset=5))
    assert not take_in(card, arrival(offset=4, transaction_id="older"))
    assert (card.offset, len(card.window.events)) == (5, 2)


def test_money_that_comes_back_moves_the_place_only():
    """A refund is no attempt, yet its offset is done."""
    card = busy()
    assert take_in(card, arrival(offset=9, message_type="refund", transaction_id="back"))
    assert (card.offset, len(card.window.events)) == (9, 1)


def test_what_is_decided():
    """Neither history nor refunds nor reversals are decided; anything else is."""
    assert arrival().is_decided
    assert not arrival(message_type="refund").is_decided
    assert not arrival(event_time=NOW - 49 * 3_600 * SECOND).is_decided


def test_a_batch_has_good_payments_and_counts_bad_ones():
    """Bad messages are counted by code and passed over; the offset after the last message counts them too."""
    schema = schemas.parsed("transaction")
    good = wire.encode(paid(), schema, 1)
    late = wire.encode(paid(amount_minor=-1), schema, 1)
    messages = [Message(good), Message(b"{}", offset=8), Message(late, offset=9), Message(None, offset=10)]
    batch = intake.read(messages, lambda _: schema, KEY)
    assert [(each.partition, each.offset, each.value) for each in batch.arrivals] == [(HOME, 7, good)]
    assert batch.invalid == {"bad_magic_byte": 1, "negative_amount": 1, "empty": 1}
    assert batch.ends == {HOME: 11}


def test_a_payment_in_the_wrong_place_is_a_bad_message():
    """Under another key than its card, or in another partition, it would part a card's window: refused and named."""
    schema = schemas.parsed("transaction")
    good = wire.encode(paid(), schema, 1)
    messages = [Message(good, key=None), Message(good, partition=(HOME + 1) % 4)]
    batch = intake.read(messages, lambda _: schema, KEY)
    assert (batch.arrivals, batch.invalid) == ([], {"wrong_key": 1, "wrong_partition": 1})


def test_a_new_symbol_is_decided_and_counted():
    """A writer's newer enum: the payment is taken with `unknown`, and its field counted."""
    newer = json.loads(schemas.text("transaction"))
    next(f for f in newer["fields"] if f["name"] == "entry_mode")["type"][1]["symbols"].append("wallet")
    schema = schemas.parse(json.dumps(newer))
    batch = intake.read([Message(wire.encode(paid(entry_mode="wallet"), schema, 1))], lambda _: schema, KEY)
    (taken,) = batch.arrivals
    assert (taken.payment["entry_mode"], taken.payment["extra"]) == ("unknown", {"entry_mode": "wallet"})
    assert (taken.is_decided, batch.absent) == (True, {"entry_mode": 1})


def test_a_payment_that_was_decided_is_not_decided_again():
    """A signed header names the decision; one made without the key, or for other bytes, names nothing."""
    schema = schemas.parsed("transaction")
    value = wire.encode(paid(), schema, 1)
    signed = {
        "ours": decision_header.sign(KEY, "api:1", value),
        "another key": decision_header.sign(b"x" * 32, "api:1", value),
        "other bytes": decision_header.sign(KEY, "api:1", value + b"1"),
        "nothing": b"",
        "no text": None,
    }
    messages = [Message(value, headers=[(decision_header.NAME, header)]) for header in signed.values()]
    arrivals = intake.read(messages, lambda _: schema, KEY).arrivals
    assert [each.decision_id for each in arrivals] == ["api:1", None, None, None, None]
    assert [each.is_decided for each in arrivals] == [False, True, True, True, True]


def test_an_unknown_schema_is_a_bad_message():
    """A schema id that the registry does not have is counted, and the others go on."""

    def writer(_):
        raise RejectedError("unknown_schema_id", "no schema 1")

    batch = intake.read([Message(wire.encode(paid(), schemas.parsed("transaction"), 1))], writer, KEY)
    assert (batch.arrivals, batch.invalid) == ([], {"unknown_schema_id": 1})


def test_the_command_that_writes():
    """Keys are progress, then cards; arguments are pairs of expected offset and progress, then the cards."""
    card = busy()
    command = write({2: (NONE, Progress(5, NOW))}, packed({"ab" * 32: card}))
    assert command[2:] == (2, b"window:2:progress:2", key("ab" * 32), 1, NONE, Progress(5, NOW).pack(), card.pack())


def test_a_decision_without_a_model_is_a_whole_record():
    """The fallback approves, says who decided, and carries the very vector; Avro takes and gives it back."""
    found = arrival(merchant_id="m")
    vector = features.build(found.payment, CARD, ACCEPTOR, features.windowed(found.payment, Window(), NOW))
    record = fallback(found, vector)
    schema = schemas.parsed("decision")
    _, again = wire.decode(wire.encode(record, schema, 3), lambda _: schema, "decision")
    assert (again["decision"], again["decided_by"], again["score"]) == ("approve", "fallback", None)
    assert np.array_equal(np.frombuffer(again["vector"], "<f4"), vector.to_array(), equal_nan=True)
    readable = json.loads(again["features"])
    assert all(
        readable[n] is None if math.isnan(v) else readable[n] == v
        for n, v in zip(features.NAMES, vector.values, strict=True)
    )
    assert json.loads(again["groups"])["window"] == {
        "status": "fresh",
        "as_of_day": None,
        "profile_version": None,
        "age_s": 0,
    }


def test_what_was_missing_is_named():
    """A degraded decision names each group and why."""
    found = arrival()
    away = Profile(Status.UNREACHABLE)
    vector = features.build(found.payment, away, Profile(Status.ABSENT), away)
    record = fallback(found, vector)
    assert json.loads(record["degraded"]) == {"card": "unreachable", "window": "unreachable"}
