"""Decoding Kafka's records into Arrow columns, without Spark or any server."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import schemas, wire
from contracts.partitioning import card_partition
from errors import RejectedError, UnreachableError
from streaming import columns, decode
from streaming.places import TABLES
from tests.decisions import decision

NOW_US = time.time_ns() // 1000
CARD = "ab" * 32
HOME = card_partition(CARD.encode())
TYPES = {"utc_offset_min": "int", "latitude": "double"}


def payment(**changes: Any) -> dict[str, Any]:
    required = {
        "source": "test",
        "transaction_id": "t1",
        "event_time": NOW_US,
        "card_id": CARD,
        "amount_minor": 1250,
        "currency": "EUR",
    }
    return schemas.defaults("transaction") | required | changes


def framed(record: dict[str, Any], schema_id: int = 1, schema: schemas.Schema | None = None) -> bytes:
    return wire.encode(record, schema or schemas.parsed("transaction"), schema_id)


def batch(values: Sequence[bytes | None], topic: str = "transactions.raw") -> pa.RecordBatch:
    count = len(values)
    return pa.record_batch(
        {
            "topic": pa.array([topic] * count),
            "partition": pa.array([HOME] * count, pa.int32()),
            "offset": pa.array(range(100, 100 + count), pa.int64()),
            "timestamp": pa.array([NOW_US] * count, columns.TIMESTAMP),
            "key": pa.array([CARD.encode()] * count, pa.binary()),
            "value": pa.array(values, pa.binary()),
        }
    )


def evolved() -> schemas.Schema:
    schema = json.loads(schemas.text("transaction"))
    schema["fields"].append({"name": "loyalty", "type": ["null", "string"], "default": None})
    schema["fields"].append({"name": "blob", "type": ["null", "bytes"], "default": None})
    return schemas.parse(json.dumps(schema))


def other() -> schemas.Schema:
    """Return the schema of a writer that counts terminals and notes by number."""
    schema = json.loads(schemas.text("label"))
    for field in schema["fields"]:
        if field["name"] == "note":
            field["type"] = ["null", "long"]
    return schemas.parse(json.dumps(schema))


WRITERS = {number: schemas.parsed(name) for number, name in ((1, "transaction"), (4, "label"), (5, "decision"))}
WRITERS |= {2: evolved(), 3: other()}


def writer(schema_id: int) -> schemas.Schema:
    if schema_id not in WRITERS:
        raise RejectedError("unknown_schema_id", f"the registry has no schema {schema_id}")
    return WRITERS[schema_id]


def test_good_rows_keep_their_values_and_their_place_on_kafka() -> None:
    """A payment's fields arrive as they were sent, with times in UTC and the offset that it came from."""
    sent = payment(mcc="5411", latitude=52.5, longitude=13.4, utc_offset_min=-60)
    rows, letters = decode.decode(
        batch([framed(sent), framed(payment(transaction_id="t2"))]), "transactions", writer, NOW_US
    )
    assert letters == []
    assert rows.schema == columns.decoded_schema("transactions")
    first, second = rows.to_pylist()
    times = {"event_time": first["event_time"].timestamp()}
    assert {**{k: first[k] for k in sent}, **times} == {**sent, "event_time": NOW_US / 1e6}
    assert (second["source_partition"], second["source_offset"], second["schema_id"]) == (HOME, 101, 1)


def test_a_refused_record_becomes_a_letter_and_the_others_stay() -> None:
    """A bad record between good ones: a letter with its key and bytes, and the good ones in their order."""
    good, negative = framed(payment()), framed(payment(amount_minor=-5))
    values = [good, b"\x00\x00\x00\x00\x09xyz", None, negative, good]
    rows, letters = decode.decode(batch(values), "transactions", writer, NOW_US)
    assert rows.column("source_offset").to_pylist() == [100, 104]
    assert [(x.context.code, x.context.source_offset, x.key) for x in letters] == [
        ("unknown_schema_id", 101, CARD.encode()),
        ("empty", 102, CARD.encode()),
        ("negative_amount", 103, CARD.encode()),
    ]
    assert letters[0].value == b"\x00\x00\x00\x00\x09xyz"
    assert [x.context.schema_id for x in letters] == [9, None, 1]
    assert {x.context.source_topic for x in letters} == {"transactions.raw"}


def test_fields_that_only_the_writer_has_go_to_extra() -> None:
    """A newer writer's fields are kept as JSON; older rows beside it have none."""
    newer = framed(payment() | {"loyalty": "gold", "blob": b"\xff"}, 2, evolved())
    rows, letters = decode.decode(batch([newer, framed(payment())]), "transactions", writer, NOW_US)
    assert letters == []
    first, second = rows.column("extra").to_pylist()
    assert json.loads(first) == {"loyalty": "gold", "blob": "ff"}
    assert second is None


def test_a_value_that_fits_no_column_is_a_letter_and_not_a_failure() -> None:
    """A writer's own type that no rule looks at refuses that record alone; it must not stop the stream."""
    label = {
        "source": "test",
        "transaction_id": "t1",
        "verdict": "fraud",
        "known_at": NOW_US,
        "origin": "analyst",
        "by": None,
        "note": None,
    }
    good = framed(label, 4, schemas.parsed("label"))
    bad = framed(label | {"note": 7}, 3, other())
    rows, letters = decode.decode(batch([good, bad, good], "labels"), "labels", writer, NOW_US)
    assert rows.column("source_offset").to_pylist() == [100, 102]
    assert [(x.context.code, x.context.source_offset, x.context.schema_id) for x in letters] == [("wrong_type", 101, 3)]


def test_a_decision_lands_with_the_bytes_that_were_sent() -> None:
    """Vector and payment are binary columns, equal to the byte; a decision that breaks a rule is a letter."""
    carried = payment()
    sent = decision(payment=framed(carried))
    values = [framed(record, 5, WRITERS[5]) for record in (sent, decision(payment_offset=-1))]
    rows, letters = decode.decode(batch(values, "decisions"), "decisions", writer, NOW_US)
    (landed,) = rows.to_pylist()
    times = {name: round(landed[name].timestamp() * 1e6) for name in ("event_time", "decided_at")}
    assert {name: landed[name] for name in sent} | times == sent
    assert wire.decode(landed["payment"], writer, "transaction")[1] == carried
    assert [(x.context.code, x.context.source_topic) for x in letters] == [("out_of_range", "decisions")]
    assert "`vector` BINARY" in columns.sql(columns.bronze_schema("decisions"))


def test_a_decision_of_a_newer_writer_keeps_what_is_new() -> None:
    """A field that a later scorer adds is kept in extra, bytes in hex; the rest is in its columns."""
    schema = json.loads(schemas.text("decision"))
    schema["fields"].append({"name": "proof", "type": ["null", "bytes"], "default": None})
    newer = schemas.parse(json.dumps(schema))
    value = framed(decision(proof=b"\x01\xff"), 6, newer)
    rows, letters = decode.decode(batch([value]), "decisions", lambda _: newer, NOW_US)
    assert letters == []
    assert rows.column("extra").to_pylist() == ['{"proof":"01ff"}']


def test_a_decision_is_found_by_its_payment() -> None:
    """Files are skipped by when a decision was made and by where its payment stands, never by its large columns."""
    assert columns.statistics("decisions") == [
        "event_time",
        "payment_partition",
        "payment_offset",
        "decided_at",
        "source_partition",
        "source_offset",
        "ingested_at",
    ]


def test_nothing_good_is_an_empty_batch_of_the_same_columns() -> None:
    """A batch of refused records alone has no rows and still the columns."""
    rows, letters = decode.decode(batch([b"x", b"y"]), "transactions", writer, NOW_US)
    assert (rows.num_rows, len(letters)) == (0, 2)
    assert rows.schema == columns.decoded_schema("transactions")


@given(st.binary(max_size=200), st.integers(0, 160))
def test_no_bytes_whatever_stop_the_stream(noise: bytes, cut: int) -> None:
    """Any bytes, and any damage to good ones, end as a row or as a letter with a code."""
    good = framed(payment(latitude=1.0, longitude=2.0, device_id=CARD))
    damaged = good[:cut] + noise + good[cut + len(noise) :]
    values = [noise, b"\x00\x00\x00\x00\x01" + noise, good[:cut], damaged, good + noise]
    rows, letters = decode.decode(batch(values), "transactions", writer, NOW_US)
    assert rows.num_rows + len(letters) == len(values)
    assert all(letter.context.code and letter.context.reason for letter in letters)


def test_a_registry_that_is_away_is_no_reason_for_a_letter() -> None:
    """When nobody can say what a record is, the batch fails, to be repeated."""

    def away(schema_id: int) -> schemas.Schema:
        raise UnreachableError(f"registry does not answer (schema {schema_id})")

    with pytest.raises(UnreachableError):
        decode.decode(batch([framed(payment())]), "transactions", away, NOW_US)


def test_a_record_is_judged_at_its_arrival_whenever_it_is_read() -> None:
    """Ahead of Kafka's stamp by more than ten minutes is refused, however late the batch comes; else it lands."""
    ahead = payment(event_time=NOW_US + 11 * 60_000_000)
    for read_us in (NOW_US, NOW_US + 3_600_000_000):
        rows, letters = decode.decode(batch([framed(ahead), framed(payment())]), "transactions", writer, read_us)
        assert (rows.num_rows, [one.context.code for one in letters]) == (1, ["future_time"])


def test_every_column_of_the_contract_is_in_bronze() -> None:
    """The tables' columns follow the Avro schemas; none is lost or of an unknown type."""
    for table, name in TABLES.items():
        names = columns.bronze_schema(table).names
        assert set(schemas.defaults(name)) <= set(names)
        assert len(names) == len(set(names))
        assert set(columns.statistics(table)) <= set(names)


def test_a_field_renamed_at_the_source_is_a_letter_with_the_contracts_name() -> None:
    """A writer that calls amount_minor otherwise: no row, and a letter that names the contract and the field."""
    schema = json.loads(schemas.text("transaction"))
    for field in schema["fields"]:
        if field["name"] == "amount_minor":
            field["name"] = "amount_cents"
    renamed = schemas.parse(json.dumps(schema))
    record = {("amount_cents" if name == "amount_minor" else name): value for name, value in payment().items()}
    rows, letters = decode.decode(batch([framed(record, 9, renamed)]), "transactions", lambda _: renamed, NOW_US)
    assert rows.num_rows == 0
    assert [(one.context.code, one.context.reason) for one in letters] == [
        ("missing_field", "contract transactions.raw: amount_minor is required")
    ]
