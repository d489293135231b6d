"""A payment is read as an integrator writes it, exactly; what is wrong is named by field and reason, never repeated."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import currencies
from contracts.identity import keyed_hash
from contracts.validation import CURRENCIES
from serving import metrics
from serving.api import openapi, payload
from serving.api.answer import Answer
from serving.http.problems import ProblemError
from serving.online.idempotency import asked
from tests.scorer_process import body

KEY = bytes(range(32))
CARD = "4111 1111 1111 1111"


def refused(content):
    with pytest.raises(ProblemError) as caught:
        payload.read(content, KEY)
    problem = caught.value.document()
    assert problem["status"] == 422
    assert all(error["field"] and error["code"] and error["reason"] for error in problem["errors"])
    return problem


def test_only_required_fields_are_required():
    """The minimal payment of the OpenAPI page is enough; nothing else is made up."""
    record = payload.read(json.dumps(openapi.MINIMAL).encode(), KEY).record
    assert record == {**openapi.MINIMAL, "message_type": "authorization"}


def test_published_examples_work():
    """The examples of the OpenAPI page are accepted, and the example answer is one."""
    assert payload.read(json.dumps(openapi.EXAMPLE).encode(), KEY).record["authentication"] == "three_ds_challenge"
    Answer.model_validate(openapi.ANSWER)
    for required in ("source", "transaction_id", "event_time", "currency"):
        assert required in payload.payment_schema()["required"]


def test_card_number_is_hashed_however_it_is_spelt():
    """Spaces and dashes do not change the card, and the number is nowhere in the record."""
    spellings = ["4111111111111111", CARD, "4111-1111-1111-1111"]
    records = [payload.read(body(card_number=spelling), KEY).record for spelling in spellings]
    assert {record["card_id"] for record in records} == {keyed_hash(KEY, CARD)}
    assert all("card_number" not in record and "4111" not in json.dumps(record) for record in records)


@given(st.sampled_from(sorted(currencies.IN_USE)), st.integers(0, 10**9))
def test_amounts_are_exact(currency, minor):
    """An amount as text is the same to the minor unit, in every currency of ISO 4217."""
    whole = str(Decimal(minor).scaleb(-CURRENCIES[currency]))
    assert payload.read(body(amount=whole, currency=currency), KEY).record["amount_minor"] == minor


@given(st.integers(0, 10**9))
def test_amounts_as_numbers_are_exact(minor):
    """A JSON number with two decimals is the same to the cent."""
    content = body(amount=None)[:-1] + f', "amount": {minor // 100}.{minor % 100:02d}}}'.encode()
    assert payload.read(content, KEY).record["amount_minor"] == minor


def test_time_as_text_or_number():
    """ISO 8601 with any offset and microseconds since 1970 name the same instant."""
    times = ["2026-11-21T02:15:00Z", "2026-11-21T04:15:00+02:00", 1795227300000000]
    assert {payload.read(body(event_time=time), KEY).record["event_time"] for time in times} == {1795227300000000}


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"source": None}, "source", "missing_field"),
        ({"source": 7}, "source", "wrong_type"),
        ({"event_time": "2026-11-21T02:15:00"}, "event_time", "wrong_type"),
        ({"event_time": "yesterday"}, "event_time", "wrong_type"),
        ({"event_time": "2096-01-01T00:00:00Z"}, "event_time", "future_time"),
        ({"event_time": 1795227300}, "event_time", "out_of_range"),
        ({"card_number": None}, "card_id", "missing_field"),
        ({"card_id": "ab" * 32}, "card_id", "ambiguous"),
        ({"card_number": None, "card_id": "4111111111111111"}, "card_id", "card_not_hashed"),
        ({"card_number": "4111"}, "card_number", "wrong_type"),
        ({"amount": None}, "amount", "missing_field"),
        ({"amount_minor": 1}, "amount", "ambiguous"),
        ({"amount": "1.005"}, "amount", "out_of_range"),
        ({"amount": "many"}, "amount", "wrong_type"),
        ({"amount": "NaN"}, "amount", "wrong_type"),
        ({"amount": "1e400"}, "amount", "absurd_amount"),
        ({"amount": "-1"}, "amount_minor", "negative_amount"),
        ({"amount": "10000000000.00"}, "amount_minor", "absurd_amount"),
        ({"currency": "XXL"}, "currency", "unknown_currency"),
        ({"mcc": 5732}, "mcc", "wrong_type"),
        ({"entry_mode": "swipe"}, "entry_mode", "unknown_enum"),
        ({"merchant_id": "M\0X"}, "merchant_id", "control_character"),
        ({"amuont": "1"}, "amuont", "unknown_field"),
    ],
)
def test_what_is_wrong_is_named(changes, field, code):
    """Each rule is answered by the field at fault and a stable code."""
    problem = refused(body(**changes))
    assert (problem["errors"][0]["field"], problem["errors"][0]["code"]) == (field, code)


@pytest.mark.parametrize(
    "changes", [{"mcc": "57"}, {"merchant_country": "XK"}, {"latitude": 91.0, "longitude": 0.0}, {"latitude": 1.0}]
)
def test_an_optional_field_that_cannot_be_read_is_absent_and_counted(changes):
    """The payment is decided without it, as it would be on Kafka."""
    field = next(iter(changes))
    before = metrics.UNREADABLE.labels(field)._value.get()
    assert payload.read(body(**changes), KEY).record[field] is None
    assert metrics.UNREADABLE.labels(field)._value.get() == before + 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b'{"a":NaN}', b"[" * 10_000])
def test_malformed_bodies_are_422(content):
    """What is no JSON object is refused as such."""
    assert refused(content)["errors"][0]["field"]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.dictionaries(st.text(), c)))
def test_any_json_is_answered(content):
    """Whatever JSON comes, the answer is a problem document, never a crash."""
    refused(json.dumps(content).encode())


@given(st.sampled_from(["source", "transaction_id", "card_number", "amount", "currency", "entry_mode", "x"]))
def test_card_numbers_are_never_repeated(field):
    """A card number in any field, or as a field's name, does not come back in the problem."""
    for changes in ({field: f"x{CARD}" * 9}, {f"{CARD}": "1"}, {"event_time": CARD}):
        problem = json.dumps(refused(body(**changes)))
        assert "1111" not in problem


def test_same_payment_same_fingerprint():
    """Order of fields and spelling of the card do not make another payment; another amount does."""
    first = asked(payload.read(body(), KEY).record)
    shuffled = json.dumps(dict(reversed(list(json.loads(body()).items())))).encode()
    assert asked(payload.read(shuffled, KEY).record) == first
    other = asked(payload.read(body(amount="1"), KEY).record)
    assert other.key == first.key
    assert other.fingerprint != first.fingerprint
    assert asked(payload.read(body(source="another"), KEY).record).key != first.key
