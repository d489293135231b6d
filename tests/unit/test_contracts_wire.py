"""The wire format: what is written reads back equal, and what is not ours is refused by its own code."""

import io
import json
import subprocess
import sys
from contextlib import suppress

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import cleaning, schemas, wire
from errors import RejectedError
from tests.decisions import decision

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=90)
KINDS = {
    "string": TEXT,
    "long": LONG,
    "int": st.integers(-(2**31), 2**31 - 1),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=90),
    "boolean": st.booleans(),
}


def strategy(kind):
    if isinstance(kind, list):
        return st.none() | strategy(kind[1])
    if isinstance(kind, dict):
        return st.sampled_from(kind["symbols"]) if kind["type"] == "enum" else strategy(kind["type"])
    return KINDS[kind]


def records(name):
    return st.fixed_dictionaries({f["name"]: strategy(f["type"]) for f in schemas.parsed(name)["fields"]})


def fastavro_bytes(record, schema):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def ours(_schema_id):
    return schemas.parsed("transaction")


GOOD = {
    "source": "test",
    "transaction_id": "t1",
    "event_time": 1_700_000_000_000_000,
    "card_id": "ab" * 32,
    "amount_minor": 1250,
    "currency": "EUR",
}


@pytest.mark.parametrize("name", ["transaction", "label", "decision"])
def test_what_is_written_reads_back(name):
    """Any record that fits the schema decodes from its frame to an equal one, cleaned, under the same schema id."""
    schema = schemas.parsed(name)

    @given(records(name))
    def holds(record):
        assert wire.decode(wire.encode(record, schema, 7), lambda _: schema, name) == (
            7,
            cleaning.clean(dict(record), name),
        )

    holds()


def test_absent_fields_take_the_schemas_defaults():
    """A record of only the required fields is encoded; the others read back as their defaults."""
    schema = schemas.parsed("transaction")
    assert wire.encode(GOOD, schema, 1)[5:] == fastavro_bytes(GOOD, schema)
    assert wire.decode(wire.encode(GOOD, schema, 1), ours, "transaction")[1] == schemas.defaults("transaction") | GOOD


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": "12.50"},
        {"amount_minor": 2**63},
        {"source": 5},
        {"entry_mode": "telepathy"},
        {"latitude": "x"},
        {"card_id": None},
        {"utc_offset_min": 2**31},
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_is_not_encodable(changes):
    """What the schema cannot hold is refused by code, never written as something else."""
    with pytest.raises(RejectedError, match="does not fit its Avro schema") as caught:
        wire.encode(GOOD | changes, schemas.parsed("transaction"), 1)
    assert caught.value.code == "not_encodable"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\x01\x00\x00\x00\x01abc", "bad_magic_byte"),
        (b"{}", "bad_magic_byte"),
        (b"\x00\x00\x01", "truncated"),
        (wire.encode(GOOD, schemas.parsed("transaction"), 1)[:40], "truncated"),
        (wire.encode(GOOD, schemas.parsed("transaction"), 1) + b"!", "trailing_bytes"),
        (b"\x00" * (wire.LARGEST_RECORD + 1), "oversized"),
        (b"\x00\x00\x00\x00\x01" + b"\xff" * 30, "undecodable"),
    ],
    ids=["none", "empty", "magic", "json", "short header", "cut", "trailing", "oversized", "garbage"],
)
def test_bytes_that_are_not_ours_have_a_code(message, code):
    """Each way of being no framed record has its own dead-letter code."""
    with pytest.raises(RejectedError) as caught:
        wire.decode(message, ours, "transaction")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("size", "code"), [(wire.LARGEST_RECORD, None), (wire.LARGEST["decision"], "oversized")], ids=["payment", "beyond"]
)
def test_a_decision_may_carry_the_largest_payment(size, code):
    """A decision is larger than the payment in it by the rest of it, and is not refused for that; beyond it is."""
    schema = schemas.parsed("decision")
    record = decision(payment=bytes(size))
    message = wire.encode(record, schema, 1)
    if code is None:
        assert wire.decode(message, lambda _: schema, "decision")[1] == record
    else:
        with pytest.raises(RejectedError) as caught:
            wire.decode(message, lambda _: schema, "decision")
        assert caught.value.code == code


@given(st.binary(max_size=300))
def test_any_payload_is_decoded_or_refused(payload):
    """No bytes whatever make the decoder fail otherwise than by RejectedError."""
    with suppress(RejectedError):
        wire.decode(b"\x00\x00\x00\x00\x01" + payload, ours, "transaction")


def test_a_newer_writers_fields_come_through():
    """A field that only the writer's schema has stands under `extra`; one that it lacks holds our default."""
    newer = json.loads(schemas.text("transaction"))
    newer["fields"] = [f for f in newer["fields"] if f["name"] != "device_id"]
    newer["fields"].append({"name": "loyalty", "type": ["null", "string"], "default": None})
    schema = schemas.parse(json.dumps(newer))
    message = wire.encode(GOOD | {"loyalty": "gold"}, schema, 9)
    identifier, record = wire.decode(message, lambda _: schema, "transaction")
    assert (identifier, record["extra"], record["device_id"]) == (9, {"loyalty": "gold"}, None)


def test_a_schema_of_another_shape_is_refused():
    """A frame whose schema is not a record is a wrong_schema letter."""
    with pytest.raises(RejectedError) as caught:
        schemas.parse('{"type":"string"}')
    assert caught.value.code == "wrong_schema"


LINK = {"name": "next", "type": ["null", "L"], "default": None}
ITEM = {"type": "record", "name": "I", "fields": []}
BOMBS = {
    "recursive": ({"type": "record", "name": "L", "fields": [LINK]}, b"\x02" * 8_000 + b"\x00"),
    "array": (
        {"type": "record", "name": "A", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]},
        b"\x80\xa4\xe8\x03\x00",
    ),
    "map": (
        {"type": "record", "name": "M", "fields": [{"name": "m", "type": {"type": "map", "values": "int"}}]},
        b"\0",
    ),
    "nested": ({"type": "record", "name": "N", "fields": [{"name": "n", "type": ["null", ITEM]}]}, b"\0"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bytes_that_would_end_the_process_are_refused(name):
    """A few bytes under a recursive schema or an array's ask for more stack or memory than there is: a letter."""
    schema, payload = BOMBS[name]
    program = f"""
from contracts import schemas, wire
from errors import RejectedError
message = bytes.fromhex("0000000001{payload.hex()}")
try:
    wire.decode(message, lambda _: schemas.parse({json.dumps(schema)!r}), "transaction")
except RejectedError as error:
    print(error.code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "wrong_schema"), done.stderr
