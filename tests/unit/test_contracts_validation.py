"""The one validation: every rule, its code, and that a null in an optional field is never a breach."""

import time
from contextlib import suppress
from datetime import date

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

import features
from contracts import partitioning, schemas
from contracts.arrival import observed, set_aside, set_aside_sql
from contracts.cleaning import absent
from contracts.deadletter import Context, Stage
from contracts.identity import hash_key, keyed_hash
from contracts.topics import ALERTS, DECISIONS, TOPICS, TRANSACTIONS
from contracts.validation import (
    CHECKS,
    CURRENCIES,
    LARGEST,
    accept,
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
    ("out_of_range", {"source": ""}),
    ("out_of_range", {"transaction_id": "x" * 65}),
    ("out_of_range", {"event_time": NOW // 1_000_000}),
    ("future_time", {"event_time": NOW + 11 * 60_000_000}),
    ("card_not_hashed", {"card_id": "4111111111111111"}),
    ("card_not_hashed", {"card_id": "AB" * 32}),
    ("card_not_hashed", {"account_id": "DE89370400440532013000"}),
    ("card_not_hashed", {"device_id": "phone"}),
    ("out_of_range", {"transaction_id": " \0 "}),
    ("control_character", {"source": "a\nb"}),
    ("control_character", {"transaction_id": "a\0b"}),
    ("control_character", {"merchant_id": "M\0X"}),
    ("control_character", {"terminal_id": "T\u200bX"}),
    ("negative_amount", {"amount_minor": -1}),
    ("negative_amount", {"billing_amount_minor": -1}),
    ("absurd_amount", {"amount_minor": LARGEST["EUR"] + 1}),
    ("absurd_amount", {"amount_minor": 10**9 + 1, "currency": "JPY"}),
    ("absurd_amount", {"amount_minor": 10**12 + 1, "currency": "KWD"}),
    ("unknown_currency", {"currency": "HRK"}),
    ("unknown_currency", {"currency": "XXY"}),
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
        accept(GOOD | changes, "transaction", NOW)
    assert caught.value.code == code
    assert any(name in caught.value.reason for name in changes) or "direction" in caught.value.reason


def test_a_good_record_and_its_edges_pass():
    """The largest amount, zero, the clock's tolerance and every optional field may be there or not."""
    check_transaction(GOOD, NOW)
    full = {
        "amount_minor": LARGEST["EUR"],
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


UNREADABLE = [
    ({"utc_offset_min": 1.5}, {"utc_offset_min": None}),
    ({"utc_offset_min": 841}, {"utc_offset_min": None}),
    ({"billing_amount_minor": "3"}, {"billing_amount_minor": None}),
    ({"billing_currency": "eur"}, {"billing_currency": None}),
    ({"merchant_id": "  \0"}, {"merchant_id": None}),
    ({"terminal_id": "x" * 64 + "y"}, {"terminal_id": None}),
    ({"mcc": "541"}, {"mcc": None}),
    ({"mcc": 5411}, {"mcc": None}),
    ({"merchant_country": "XK"}, {"merchant_country": None}),
    ({"card_country": "USA"}, {"card_country": None}),
    ({"latitude": "51", "longitude": 1.0}, {"latitude": None, "longitude": None}),
    ({"latitude": 51.0}, {"latitude": None}),
    ({"latitude": 91.0, "longitude": 1.0}, {"latitude": None, "longitude": None}),
    ({"latitude": 1.0, "longitude": float("nan")}, {"latitude": None, "longitude": None}),
    ({"latitude": 0.0, "longitude": 0}, {"latitude": None, "longitude": None}),
    ({"entry_mode": "wallet"}, {"entry_mode": "unknown"}),
    ({"message_type": "hello"}, {"message_type": "unknown"}),
    ({"authentication": "3ds_challenge"}, {"authentication": "unknown"}),
]


@pytest.mark.parametrize(("sent", "taken"), UNREADABLE, ids=[str(sent) for sent, _ in UNREADABLE])
def test_what_is_optional_and_unreadable_loses_no_payment(sent, taken):
    """Such a field is absent (a new symbol: unknown), is named among those counted, and its word stands in extra."""
    found = accept(GOOD | sent, "transaction", NOW)
    assert {name: found[name] for name in taken} == taken
    assert sorted(absent(found, "transaction")) == sorted(name for name in sent if sent[name] is not None)
    assert all(str(value).strip(" \0").startswith(str(found["extra"][name])) for name, value in sent.items())


def test_padding_never_reaches_an_id():
    """Blanks and zero bytes around a text are the device's, not the acceptor's; a payment keeps its identity."""
    padded = {"transaction_id": " t1 ", "source": "test\0\0", "merchant_id": "ACQ 0001       ", "terminal_id": "\tT1"}
    bare = {"transaction_id": "t1", "source": "test", "merchant_id": "ACQ 0001", "terminal_id": "T1"}
    found = accept(GOOD | padded, "transaction", NOW)
    assert found == GOOD | bare
    assert accept(LABEL | {"transaction_id": "t1  "}, "label", NOW) == LABEL


def test_a_card_number_in_the_wrong_field_is_not_kept():
    """What cleaning takes away is kept in extra, but never what may be a card number."""
    found = accept(GOOD | {"merchant_country": "4111 1111 1111 1111"}, "transaction", NOW)
    assert "4111" not in str(found["extra"])


@pytest.mark.parametrize(
    ("code", "day", "known"),
    [
        ("BGN", date(2025, 12, 31), True),
        ("BGN", date(2026, 6, 1), False),
        ("HRK", date(2022, 7, 1), True),
        ("HRK", date(2023, 2, 1), False),
        ("EUR", date(2001, 1, 1), True),
    ],
)
def test_a_currency_is_judged_on_the_payments_day(code, day, known):
    """A file of 2022 has its kuna, a payment of today has not; amounts in it have their decimals."""
    time_us = (day - date(1970, 1, 1)).days * DAY
    payment = GOOD | {"currency": code, "event_time": time_us, "amount_minor": 10_000}
    if known:
        check_transaction(payment, NOW)
        assert features.transaction_features(payment)[4] == 1.0
    else:
        with pytest.raises(RejectedError, match="unknown_currency"):
            check_transaction(payment, NOW)


def test_a_payment_is_decided_set_aside_or_refused_by_its_arrival():
    """One stamp decides: ahead of it by more than ten minutes is refused, more than 48 hours behind is history."""
    minute, hour = 60_000_000, 3_600_000_000
    for behind, fate in ((-10 * minute, None), (48 * hour, None), (48 * hour + 1, "history")):
        payment = GOOD | {"event_time": NOW - behind}
        check_transaction(payment, NOW)
        assert set_aside(payment, NOW) == fate
    assert set_aside(GOOD | {"message_type": "refund"}, NOW) == "refund"
    ahead = GOOD | {"event_time": NOW + 9 * minute}
    assert observed(ahead, NOW).time_us == NOW
    assert observed(GOOD, NOW).time_us == GOOD["event_time"]


@given(
    st.integers(-(10**12), 10**12) | st.sampled_from([172_800_000_000, 172_800_000_001]),
    st.sampled_from(["authorization", "refund", "reversal", "verification", "unknown"]),
)
def test_sql_sets_aside_what_python_does(behind, kind):
    """The balance counts in SQL by the rule that the stream decides by."""
    payment = GOOD | {"event_time": NOW - behind, "message_type": kind}
    (row,) = duckdb.execute(f"select {set_aside_sql('$1', '$2', '$3')}", [NOW - behind, NOW, kind]).fetchall()
    assert row == (set_aside(payment, NOW),)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_those_of_kafkas_clients(key, value):
    """The hash is Kafka's own, by the values of its UtilsTest.testMurmur2."""
    assert partitioning.murmur2(key) == value & 0xFFFF_FFFF


def test_a_payment_in_the_wrong_place_is_refused():
    """Its key must be its card, and its partition the card's."""
    key = GOOD["card_id"].encode()
    right = partitioning.card_partition(key)
    partitioning.check_place(GOOD, key, right)
    for code, key_, partition in (
        ("wrong_key", None, right),
        ("wrong_key", b"x", right),
        ("wrong_partition", key, right ^ 1),
    ):
        with pytest.raises(RejectedError) as caught:
            partitioning.check_place(GOOD, key_, partition)
        assert caught.value.code == code


@given(st.sampled_from(sorted(GOOD)), ANYTHING)
def test_any_value_is_judged_by_rejected_error_alone(name, value):
    """Whatever stands in a field, the validation passes it or raises RejectedError, nothing else."""
    with suppress(RejectedError):
        accept(GOOD | {name: value}, "transaction", NOW)


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


@pytest.mark.parametrize("name", ["currency", "card_id"])
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
