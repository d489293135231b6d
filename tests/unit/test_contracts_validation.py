"""The one validation: every rule, its code, and that a null in an optional field is never a breach."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import schemas
from contracts.deadletter import Context, Stage
from contracts.identity import hash_key, keyed_hash
from contracts.topics import ALERTS, DECISIONS, TOPICS, TRANSACTIONS
from contracts.validation import (
    CHECKS,
    CURRENCIES,
    LARGEST_AMOUNT,
    check_decision,
    check_label,
    check_transaction,
    mandatory,
)
from errors import RejectedError, SettingsError
from tests.decisions import decision

NOW = time.time_ns() // 1000
DAY = 86_400_000_000
GOOD = schemas.defaults("transaction") | {
    "source": "test",
    "transaction_id": "t1",
    "event_time": NOW - DAY,
    "card_id": "ab" * 32,
    "amount_minor": 1250,
    "currency": "EUR",
}
LABEL = schemas.defaults("label") | {
    "source": "test",
    "transaction_id": "t1",
    "verdict": "fraud",
    "known_at": NOW - DAY,
    "origin": "file",
}
DECISION = decision()
VECTOR = "0622241201382a45912fb22828b3f7db5153cf2072722a73ded22623ea79abc9"
"""HMAC-SHA256 under the key 00 01 .. 1f, by another implementation (openssl dgst -mac HMAC)."""
BAD = [
    ("missing_field", {"source": None}),
    ("missing_field", {"transaction_id": None}),
    ("missing_field", {"event_time": None}),
    ("missing_field", {"card_id": None}),
    ("missing_field", {"amount_minor": None}),
    ("missing_field", {"currency": None}),
    ("wrong_type", {"amount_minor": "12.50"}),
    ("wrong_type", {"amount_minor": 12.5}),
    ("wrong_type", {"amount_minor": True}),
    ("wrong_type", {"event_time": "2026-01-01"}),
    ("wrong_type", {"utc_offset_min": 1.5}),
    ("wrong_type", {"billing_amount_minor": "3"}),
    ("wrong_type", {"latitude": "51", "longitude": 1.0}),
    ("wrong_type", {"latitude": 51.0}),
    ("out_of_range", {"source": ""}),
    ("out_of_range", {"transaction_id": "x" * 65}),
    ("out_of_range", {"event_time": NOW // 1_000_000}),
    ("out_of_range", {"utc_offset_min": 841}),
    ("out_of_range", {"merchant_id": ""}),
    ("out_of_range", {"terminal_id": "x" * 65}),
    ("out_of_range", {"mcc": "541"}),
    ("out_of_range", {"latitude": 91.0, "longitude": 1.0}),
    ("out_of_range", {"latitude": 1.0, "longitude": float("nan")}),
    ("future_time", {"event_time": NOW + 11 * 60_000_000}),
    ("card_not_hashed", {"card_id": "4111111111111111"}),
    ("card_not_hashed", {"card_id": "AB" * 32}),
    ("card_not_hashed", {"account_id": "DE89370400440532013000"}),
    ("card_not_hashed", {"device_id": "phone"}),
    ("negative_amount", {"amount_minor": -1}),
    ("negative_amount", {"billing_amount_minor": -1}),
    ("absurd_amount", {"amount_minor": LARGEST_AMOUNT + 1}),
    ("unknown_currency", {"currency": "XXY"}),
    ("unknown_currency", {"billing_currency": "eur"}),
    ("unknown_enum", {"entry_mode": "telepathy"}),
    ("unknown_enum", {"message_type": "hello"}),
    ("unknown_enum", {"authentication": "3ds_challenge"}),
    ("unknown_country", {"merchant_country": "XZ"}),
    ("unknown_country", {"card_country": "USA"}),
]

ANYTHING = (
    st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.booleans()
    | st.binary(max_size=9)
    | st.lists(st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@pytest.mark.parametrize(("code", "changes"), BAD, ids=[f"{code}-{next(iter(change))}" for code, change in BAD])
def test_each_breach_has_its_code(code, changes):
    """A record that breaks one rule is refused under that rule's code, with a reason that names the field."""
    with pytest.raises(RejectedError) as caught:
        check_transaction(GOOD | changes, NOW)
    assert caught.value.code == code
    assert any(name in caught.value.reason for name in changes) or "direction" in caught.value.reason


def test_a_good_record_and_its_edges_pass():
    """The largest amount, zero, the clock's tolerance and every optional field may be there or not."""
    check_transaction(GOOD, NOW)
    full = {
        "amount_minor": LARGEST_AMOUNT,
        "event_time": NOW + 10 * 60_000_000,
        "utc_offset_min": -840,
        "account_id": "cd" * 32,
        "device_id": "ef" * 32,
        "billing_amount_minor": 0,
        "billing_currency": "JPY",
        "merchant_id": "x" * 64,
        "terminal_id": "T",
        "mcc": "0742",
        "merchant_country": "FR",
        "card_country": "US",
        "latitude": -90.0,
        "longitude": 180,
        "entry_mode": "moto",
        "authentication": "three_ds_challenge",
    }
    check_transaction(GOOD | full, NOW)
    for name in full.keys() - {"amount_minor", "event_time", "latitude", "longitude"}:
        check_transaction(GOOD | full | {name: None}, NOW)


@given(st.sampled_from(sorted(GOOD)), ANYTHING)
def test_any_value_is_judged_by_rejected_error_alone(name, value):
    """Whatever stands in a field, the validation passes it or raises RejectedError, nothing else."""
    with suppress(RejectedError):
        check_transaction(GOOD | {name: value}, NOW)


@given(st.sampled_from(sorted(DECISION)), ANYTHING)
def test_any_value_of_a_decision_is_judged_by_rejected_error_alone(name, value):
    """Whatever stands in a decision's field, it passes or is refused by code."""
    with suppress(RejectedError):
        check_decision(DECISION | {name: value}, NOW)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("missing_field", {"verdict": None}),
        ("unknown_enum", {"verdict": "maybe"}),
        ("unknown_enum", {"origin": "rumour"}),
        ("future_time", {"known_at": NOW + DAY}),
        ("wrong_type", {"known_at": 1.0}),
        ("out_of_range", {"transaction_id": ""}),
    ],
)
def test_labels_are_judged_too(code, changes):
    """A label event that breaks a rule is refused by code; nothing can be known in the future."""
    check_label(LABEL, NOW)
    with pytest.raises(RejectedError) as caught:
        check_label(LABEL | changes, NOW)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("missing_field", {"vector": None}),
        ("missing_field", {"schema_hash": None}),
        ("missing_field", {"payment_offset": None}),
        ("wrong_type", {"decided_at": 1.0}),
        ("wrong_type", {"payment_partition": True}),
        ("wrong_type", {"payment": "text"}),
        ("out_of_range", {"source": ""}),
        ("out_of_range", {"payment_partition": -1}),
        ("out_of_range", {"payment_offset": -1}),
        ("out_of_range", {"decided_at": NOW // 1_000}),
        ("future_time", {"decided_at": NOW + DAY}),
        ("card_not_hashed", {"card_id": "4111111111111111"}),
        ("unknown_enum", {"decision": "refuse"}),
        ("unknown_enum", {"decided_by": "lot"}),
    ],
)
def test_decisions_are_judged_too(code, changes):
    """A decision that breaks a rule is refused by code, with a reason that names the field."""
    check_decision(DECISION, NOW)
    with pytest.raises(RejectedError) as caught:
        check_decision(DECISION | changes, NOW)
    assert caught.value.code == code
    assert next(iter(changes)) in caught.value.reason


PLACE = {"payment_partition", "payment_offset"}


def test_a_decision_says_where_its_payment_came_from():
    """From the stream it has the payment's place on Kafka; from the API an id of its own, and no place."""
    for name in PLACE:
        with pytest.raises(RejectedError, match=f"missing_field: {name}"):
            check_decision(DECISION | {name: None}, NOW)
    asked = DECISION | dict.fromkeys(PLACE) | {"origin": "api", "decision_id": "api:1"}
    check_decision(asked, NOW)
    with pytest.raises(RejectedError, match="missing_field: decision_id"):
        check_decision(asked | {"decision_id": None}, NOW)
    with pytest.raises(RejectedError, match="no place on Kafka"):
        check_decision(asked | {"payment_offset": 3}, NOW)


def test_what_a_decision_must_have_is_what_its_schema_says():
    """Every field without a default is required, and nothing that may be null is, but where the payment came from."""
    for name in DECISION.keys() - PLACE:
        missing = DECISION | {name: None}
        if name in mandatory("decision"):
            with pytest.raises(RejectedError, match=f"missing_field: {name}"):
                check_decision(missing, NOW)
        else:
            check_decision(missing, NOW)


def test_every_schema_of_a_topic_has_its_check():
    """No topic's records go unjudged; alerts have the form of decisions, and a card has the same partition on each."""
    assert {topic.schema for topic in TOPICS if topic.schema} == set(CHECKS)
    assert ALERTS.schema == DECISIONS.schema
    assert ALERTS.partitions == DECISIONS.partitions == TRANSACTIONS.partitions
    assert len({topic.subject for topic in TOPICS}) == len(TOPICS)


@pytest.mark.parametrize("name", ["merchant_country", "mcc", "currency", "billing_currency", "entry_mode", "card_id"])
@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "4111111111111111"])
def test_a_reason_never_shows_a_card_number(name, number):
    """A card number in the wrong field does not reach the reason, which is logged; no part of it does."""
    with pytest.raises(RejectedError) as caught:
        check_transaction(GOOD | {name: number}, NOW)
    assert "4111" not in str(caught.value)


def test_currencies_know_their_exponents():
    """Exponents are those of ISO 4217."""
    assert (CURRENCIES["EUR"], CURRENCIES["JPY"], CURRENCIES["KWD"]) == (2, 0, 3)


def test_a_letters_context_survives_its_headers():
    """What stands in a letter's headers reads back equal, absent parts staying absent."""
    bronze = Context(Stage.BRONZE, "truncated", "ends early", 1_700_000_000_000, "transactions.raw", 3, 17, schema_id=4)
    producer = Context(Stage.PRODUCER, "unmappable", "é", 1, source_topic="transactions.raw", file="a.csv", row=2)
    for context in (bronze, producer):
        assert Context.read([*context.headers(), ("other", b"x")]) == context


def test_the_keyed_hash_is_hmac_sha256_of_the_bare_number():
    """The digest is HMAC-SHA256, and spaces or dashes of a number do not change it."""
    key = bytes(range(32))
    assert keyed_hash(key, "4111111111111111") == VECTOR
    assert keyed_hash(key, "4111 1111-1111 1111") == keyed_hash(key, "4111111111111111")
    assert keyed_hash(bytes(32), "4111111111111111") != keyed_hash(key, "4111111111111111")


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 31])
def test_a_weak_hash_key_is_refused(text):
    """Only 32 bytes in hex are a key; the error says how to get one."""
    with pytest.raises(SettingsError, match="64 hex digits"):
        hash_key(text)
