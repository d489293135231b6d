"""The scanner knows a card number when it sees one, and leaves look-alikes alone."""

import struct
from types import SimpleNamespace

import pyarrow as pa
import pytest

from contracts import schemas, wire
from contracts.identity import luhn
from contracts.topics import DEAD_LETTERS, DECISIONS
from lake import scan as scanning
from lake.scan import has_card_number, scan
from tests.decisions import decision, payment

FOUND = [
    "4111111111111111",
    "paid with 4111 1111 1111 1111 today",
    "4111-1111-1111-1111",
    '{"card": "378282246310005"}',
    "676226135124",  # Maestro, 12 digits
    "pan=5555555555554444;",
]
PASSED = [
    "4111111111111112",  # fails Luhn
    "1763770000123456",  # microseconds since 1970
    "a4111111111111111f",  # inside a hash
    "0.4111111111111111",  # decimals of a number
    "c0ffee00-1234-4111-8111-411111111111",  # a UUID
    "2026-11-22T00:58:39",
]


@pytest.mark.parametrize("text", FOUND)
def test_card_numbers_are_found(text):
    """A card number is found bare, grouped, and inside other text."""
    assert has_card_number(text)


@pytest.mark.parametrize("text", PASSED)
def test_look_alikes_are_not(text):
    """Hashes, times, decimals and UUIDs are not card numbers."""
    assert not has_card_number(text)


def test_known_numbers_are_found_whatever_they_look_like():
    """A number known beforehand is found even where Luhn and issuer say no."""
    assert has_card_number("9999999999999999", frozenset({"9999999999999999"}))


def test_findings_name_the_place_and_never_the_number():
    """A finding says where, so that the report itself leaks nothing."""
    findings = scan({"logs": lambda: iter([("a.log:1", "4111111111111111"), ("a.log:2", "fine")])})
    assert findings.read == {"logs": 2}
    assert findings.found == ["logs: a.log:1"]


@pytest.mark.parametrize("name", ["transaction_id", "merchant_id", "device_id"])
@pytest.mark.parametrize("number", ["4111111111111111", "378282246310005"])
def test_a_card_number_inside_bytes_is_found(name, number):
    """A number in the payment that a decision carries is found, whichever bytes stand around it."""
    vector = struct.pack("<40f", *(0.1 * n for n in range(40)))
    column = pa.chunked_array([pa.array([vector, payment(), None, payment(**{name: number})], pa.binary())])
    assert [has_card_number(text) for text in scanning._strings(column)] == [False, False, True]
    assert any(has_card_number(text) for text in scanning._strings(column.cast(pa.large_binary())))


def test_a_decision_on_kafka_is_read_field_by_field(monkeypatch):
    """Each field of a decision is searched, the bytes too, on its topic and among the letters."""
    schema = schemas.parsed("decision")
    value = wire.encode(decision(payment=payment(device_id="378282246310005")), schema, 1)
    message = SimpleNamespace(
        partition=lambda: 0, offset=lambda: 7, key=lambda: None, value=lambda: value, headers=lambda: None
    )
    places = (DECISIONS.name, DEAD_LETTERS.name)
    monkeypatch.setattr(scanning.registry, "writers", lambda: lambda _: schema)
    monkeypatch.setattr(scanning.kafka, "read_all", lambda name: [message] if name in places else [])
    found = scan({"kafka": scanning.topics}).found
    for topic in places:
        assert f"kafka: {topic}[0]@7 field payment" in found


def test_luhn_refuses_every_single_digit_error():
    """Luhn's check catches each single changed digit (ISO/IEC 7812-1)."""
    number = "4111111111111111"
    for at, digit in enumerate(number):
        for other in set("0123456789") - {digit}:
            assert not luhn(number[:at] + other + number[at + 1 :])
