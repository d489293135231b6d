"""A payment is read as an integrator writes it, exactly; what is wrong is named by field and reason, never repeated."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

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
        ({"amount": "1e400"}, "amount", "wrong_type"),
        ({"amount": "1_0.00"}, "amount", "wrong_type"),
        ({"amount": "\uff11\uff12.00"}, "amount", "wrong_type"),
        ({"amount": "1" * 21}, "amount", "absurd_amount"),
        ({"amount": "1.00000000000000000000000000000001"}, "amount", "out_of_range"),
        ({"amount_minor": 10**30, "amount": None}, "amount_minor", "absurd_amount"),
        ({"amount_minor": 12.5, "amount": None}, "amount_minor", "wrong_type"),
        ({"event_time": 10**4000}, "event_time", "future_time"),
        ({"event_time": "1795227300"}, "event_time", "wrong_type"),
        ({"event_time": "2026-02-30T00:00:00Z"}, "event_time", "wrong_type"),
        ({"latitude": 10**4000, "longitude": 0}, "latitude", "out_of_range"),
        ({"message_type": "refund"}, "message_type", "set_aside"),
        ({"message_type": "reversal"}, "message_type", "set_aside"),
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


def written(field, text):
    """Return a payment with a field whose value is `text` as it stands."""
    return body(**{field: "here"}).replace(b'"here"', text.encode())


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("latitude", "NaN", "wrong_type"),
        ("latitude", "1e999", "out_of_range"),
        ("latitude", "-Infinity", "wrong_type"),
        ("latitude", "1e99999999999999999999", "wrong_type"),
        ("amount", "NaN", "wrong_type"),
        ("amount", "1e999", "absurd_amount"),
        ("amount", "1.00000000000000000000000000000001", "out_of_range"),
        ("amount", "9" * 5_000, "absurd_amount"),
        ("amount_minor", "99999999999999999999999", "ambiguous"),
        ("source", '"a", "source": "b"', "repeated_field"),
        ("source", '"\\ud800"', "malformed_json"),
        ("\ud800", "1", "malformed_json"),
        ("source", '{"a": 1, "a": 2}', "wrong_type"),
        ("source", "[" * 500 + "]" * 500, "wrong_type"),
    ],
)
def test_absurd_values_are_refused_alone(field, text, code):
    """Of a batch only the absurd item is refused, with the code that it has alone; what surrounds it is decided."""
    absurd = written(field, text)
    assert refused(absurd)["code"] == code
    before, found, after = payload.split(b'{"payments": [%s, %s, %s]}' % (body(), absurd, body()))
    assert payload.read_item(before, KEY) == payload.read_item(after, KEY) == payload.read(body(), KEY)
    with pytest.raises(ProblemError) as caught:
        payload.read_item(found, KEY)
    assert caught.value.document()["code"] == code


def test_numbers_are_exact_at_any_scale():
    """A JSON number is taken as it is written: by an exponent, or with zeros that a double would not keep."""
    for text in ("1E+2", "100.0000000000000000000000000000000", "100"):
        assert payload.read(written("amount", text), KEY).record["amount_minor"] == 10_000


SCHEMA = Draft202012Validator(payload.payment_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)
NOT_IN_SCHEMA = {"future_time", "absurd_amount", "out_of_range"}
"""What no schema can say: which time is ahead, and how many decimals and units a currency has."""
VALUES = {
    "source": ["a", "", "x" * 64, "x" * 65, 7, None],
    "event_time": ["2026-11-21T02:15:00Z", "2026-11-21T02:15:00+02:00", 1795227300000000, 1, None, True],
    "currency": ["USD", "XXL", "usd", 840, None],
    "card_id": ["ab" * 32, "AB" * 32, "4111", None],
    "card_number": [CARD, "4111", 4111111111111111, None],
    "amount": ["1.00", "1", "+1", "-1", "1e2", 1, 1.5, -1, True, None],
    "amount_minor": [1, 5.0, 0, -1, 10**12, "1", 1.5, None],
    "utc_offset_min": [0, 60.0, 1.5, 840, 841, -841, "0", None],
    "message_type": ["authorization", "unknown", "refund", "sale", None],
    "account_id": ["cd" * 32, "cd", None],
    "billing_amount_minor": [1, -1, None],
    "billing_currency": ["EUR", "EURO", None],
    "merchant_id": ["M", "", "x" * 65, None],
    "mcc": ["5732", "57", 5732, None],
    "merchant_country": ["US", "UK", None],
    "latitude": [0, 1.5, 91, "1", None],
    "longitude": [0, -180, 181, True, None],
    "entry_mode": ["chip", "swipe", None],
    "authentication": ["pin", "3ds_challenge", "password", None],
    "device_id": ["ef" * 32, "", None],
    "observe": [True, False, "yes", 1, None],
    "explain": [True, 0, None],
    "amuont": ["1"],
}
GOOD = {"transaction_id": "t", "source": "a", "event_time": 1795227300000000, "currency": "USD", "amount_minor": 1}


@settings(max_examples=600)
@given(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in sorted(VALUES.items())}),
    st.sets(st.sampled_from(sorted(VALUES)), max_size=18),
)
def test_the_published_schema_is_what_is_accepted(changes, kept):
    """Whatever the schema refuses is refused; what it allows is accepted, but for what no schema can say."""
    whole = {**GOOD, "card_id": "ab" * 32} | {name: value for name, value in changes.items() if name not in kept}
    code = verdict(whole)
    allowed = SCHEMA.is_valid(whole)
    assert allowed if code is None else not allowed or code in NOT_IN_SCHEMA


def verdict(whole):
    """Return the code by which a payment is refused; None: it is accepted."""
    try:
        payload.read(json.dumps(whole).encode(), KEY)
    except ProblemError as problem:
        return problem.code
    return None


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
