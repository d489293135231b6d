"""Payments for a load pass validation, are never the same twice, and keep out of other people's profiles."""

import itertools
import time
from datetime import UTC, datetime

import orjson
import pytest
import yaml

from bench.lake import ingest
from bench.load import payments
from bench.load.payments import Sample
from contracts.schemas import defaults
from contracts.validation import check_transaction

NOW_US = time.time_ns() // 1_000


@pytest.fixture
def sample() -> Sample:
    """A sample of three cards."""
    whole = defaults("transaction") | {
        "source": "acquirer",
        "event_time": NOW_US,
        "message_type": "authorization",
        "amount_minor": 1_250,
        "currency": "EUR",
        "merchant_id": "m1",
        "mcc": "5411",
        "merchant_country": "FR",
        "card_country": "FR",
        "entry_mode": "chip",
        "authentication": "pin",
    }
    found = [whole | {"transaction_id": str(n), "card_id": f"{n:064x}"} for n in range(3)]
    return Sample(found, NOW_US)


def test_scored_payments_are_valid_and_fresh(sample: Sample) -> None:
    """Each payment keeps the contract, under an id that was never used, with a real card."""
    drawn = list(itertools.islice(payments.to_score(sample, unusual=0.3), 500))
    for payment in drawn:
        check_transaction(payment, NOW_US)
    assert len({payment["transaction_id"] for payment in drawn}) == 500
    assert {payment["card_id"] for payment in drawn} == {payment["card_id"] for payment in sample.payments}
    assert 80 < sum(payment["amount_minor"] > 30_000 for payment in drawn) < 220


def test_two_loads_never_share_an_id(sample: Sample) -> None:
    """A second run uses other ids: a kept answer would be a flattering one."""
    first, second = ({p["transaction_id"] for p in itertools.islice(payments.to_score(sample), 100)} for _ in "ab")
    assert not first & second


def test_bodies_are_what_an_integrator_sends(sample: Sample) -> None:
    """A body has no nulls, and its time is ISO 8601 in UTC to the microsecond."""
    body = orjson.loads(next(payments.bodies(payments.to_score(sample, unusual=0))))
    assert None not in body.values()
    assert datetime.fromisoformat(body["event_time"]) == datetime.fromtimestamp(NOW_US / 1e6, UTC)


def test_sent_payments_have_entities_of_their_own(sample: Sample) -> None:
    """What goes to Kafka is valid, of the bench's own source and cards, and not newer than the platform's clock."""
    sent = payments.to_send(sample, 300)
    for payment in sent:
        check_transaction(payment, NOW_US)
    assert {payment["source"] for payment in sent} == {payments.SOURCE}
    assert not {payment["card_id"] for payment in sent} & {payment["card_id"] for payment in sample.payments}
    assert max(payment["event_time"] for payment in sent) <= NOW_US
    assert len({payment["transaction_id"] for payment in sent}) == 300


def test_the_file_to_replay_has_every_mapped_column(sample: Sample, tmp_path) -> None:
    """Mapping and file agree, and the file names cards by something that is not yet hashed."""
    import pyarrow.parquet as pq

    table = pq.read_table(ingest.write_file(tmp_path, payments.to_send(sample, 20)))
    mapping = yaml.safe_load(ingest.write_mapping(tmp_path).read_text())
    assert {field["column"] for field in mapping["fields"].values()} == set(table.column_names)
    assert table.num_rows == 20
    assert all(card.startswith("bench ") for card in table.column("card").to_pylist())
