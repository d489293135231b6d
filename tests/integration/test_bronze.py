"""Kafka to Bronze on the real servers: every record lands once or is a letter, whatever happens on the way."""

import json
import random
import subprocess
import sys
import time

import pytest

from contracts import schemas, topics, wire
from contracts.topics import ALERTS
from infra.native.processes import supervise
from settings import PROJECT_DIR
from streaming import offsets
from tests.conftest import wait_until
from tests.decisions import decision
from tests.integration.bronze_trial import Trial, label, payment
from tests.integration.topic_anew import make_anew

MINUTE_US = 60_000_000
TWO_DAYS_US = 2 * 24 * 60 * MINUTE_US


@pytest.fixture
def trial(stack):
    found = Trial()
    yield found
    found.close()


def without(record, *names):
    return {name: value for name, value in record.items() if name not in names}


def evolved(name="transaction", drop=(), **added):
    """Return a schema text like ours with fields left out and nullable ones added."""
    schema = json.loads(schemas.text(name))
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in drop]
    schema["fields"] += [{"name": n, "type": ["null", kind], "default": None} for n, kind in added.items()]
    return json.dumps(schema)


def test_every_bad_record_is_the_right_letter_and_every_good_one_a_row(trial):
    """One of each fault among good records, on both topics: right codes, bytes untouched, the balance exact."""
    now = time.time_ns() // 1000
    good = trial.framed(payment(1))
    short_id = trial.register(evolved(drop=("card_id",)))
    texts = evolved().replace('"name": "amount_minor", "type": "long"', '"name": "amount_minor", "type": "string"')
    texts_id = trial.register(texts)
    other_enum = json.loads(evolved())
    next(f for f in other_enum["fields"] if f["name"] == "message_type")["type"]["symbols"].append("barter")
    enum_id = trial.register(json.dumps(other_enum))
    number_id = trial.register('"long"')
    typed = '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}'
    json_id = trial.register(typed, "JSON", f"{trial.namespace}.json-value")
    link = {"name": "next", "type": ["null", "L"], "default": None}
    recursive_id = trial.register(json.dumps({"type": "record", "name": "L", "fields": [link]}))
    items = {"name": "a", "type": {"type": "array", "items": "null"}}
    array_id = trial.register(json.dumps({"type": "record", "name": "A", "fields": [items]}))
    foreign_id = trial.register(evolved(foreign="string"), subject=f"{trial.namespace}.evil-value")
    newer = evolved(loyalty="string", score="double")
    newer_id = trial.register(newer)
    framed = trial.framed
    faults = {
        "empty": None,
        "oversized": b"\x00" + good[1:5] + b"\x00" * (1 << 20),
        "bad_magic_byte": b"\x01" + good[1:],
        "truncated": good[:-3],
        "trailing_bytes": good + b"\x00",
        "unknown_schema_id": b"\x00\x00\x0f\xff\xff" + good[5:],
        "wrong_schema": b"\x00" + number_id.to_bytes(4, "big") + b"\x0e",
        "missing_field": wire.encode(
            without(payment(2), "card_id"), schemas.parse(evolved(drop=("card_id",))), short_id
        ),
        "wrong_type": wire.encode(payment(3) | {"amount_minor": "12"}, schemas.parse(texts), texts_id),
        "negative_amount": framed(payment(5, amount_minor=-1)),
        "absurd_amount": framed(payment(6, amount_minor=10**15)),
        "future_time": framed(payment(7, event_time=now + 60 * MINUTE_US)),
        "card_not_hashed": framed(payment(8, card_id="not-a-hash")),
        "unknown_currency": framed(payment(9, currency="XXQ")),
        "control_character": framed(payment(10, merchant_id="M\0X")),
    }
    framed_as = lambda number, payload: b"\x00" + number.to_bytes(4, "big") + payload  # noqa: E731
    bombs = [
        framed_as(recursive_id, b"\x02" * 8_000 + b"\x00"),
        framed_as(array_id, b"\x80\xa4\xe8\x03\x00"),
        framed_as(number_id, b"\x10"),
    ]
    strangers = [framed_as(foreign_id, good[5:]), framed_as(json_id, b"{}")]
    rows = [
        good,
        good,
        framed(payment(1, amount_minor=999)),
        framed(payment(11, event_time=now - TWO_DAYS_US)),
        wire.encode(payment(12) | {"loyalty": "gold", "score": 0.5}, schemas.parse(newer), newer_id),
        wire.encode(payment(4, message_type="barter"), schemas.parse(json.dumps(other_enum)), enum_id),
        framed(payment(14, latitude=95.0, longitude=0.0, merchant_country="XK", terminal_id="T1      ")),
    ]
    sent_rows = trial.send(rows)
    trial.send(faults.values())
    trial.send([framed(payment(13)), *bombs, *strangers])
    trial.send([trial.framed(label(n), trial.labels) for n in range(3)], trial.labels)
    (late,) = trial.send([trial.framed(label(4, known_at=now + 60 * MINUTE_US), trial.labels)], trial.labels)

    trial.once()

    letters = trial.letters()
    by_value = {value: context.code for context, _, value in letters.values()}
    assert {code: by_value.get(value) for code, value in faults.items()} == {code: code for code in faults}
    assert letters[late][0].code == "future_time"
    assert {by_value[value] for value in bombs} == {"wrong_schema"}
    assert {by_value[value] for value in strangers} == {"unknown_schema_id"}
    assert len(letters) == len(faults) + len(bombs) + len(strangers) + 1
    assert {key for _, key, _ in letters.values() if key} >= {b"key-0", b"key-2", payment(5)["card_id"].encode()}
    context = next(c for c, _, value in letters.values() if value == faults["negative_amount"])
    assert (context.stage, context.source_topic, context.schema_id) == (
        "bronze",
        trial.payments,
        trial.ids[trial.payments],
    )
    assert context.reason
    trial.assert_balance()
    table = trial.rows().to_pylist()
    assert len(table) == len(sent_rows) + 1
    assert len(trial.landed()) == len(sent_rows) + 1 + 3
    extra = {row["transaction_id"]: row for row in table if row["extra"]}
    assert {name: json.loads(row["extra"]) for name, row in extra.items()} == {
        "t12": {"loyalty": "gold", "score": 0.5},
        "t4": {"message_type": "barter"},
        "t14": {"latitude": 95.0, "longitude": 0.0, "merchant_country": "XK"},
    }
    assert (extra["t12"]["schema_id"], extra["t4"]["message_type"], extra["t14"]["terminal_id"]) == (
        newer_id,
        "unknown",
        "T1",
    )
    assert {row["ingested_date"] for row in table} == {row["ingested_at"].date() for row in table}
    assert len({row["ingested_at"] for row in table}) == len({row["batch_id"] for row in table})


def test_decisions_land_with_their_bytes_and_alerts_do_not(trial):
    """A decision's vector and payment are in Bronze to the byte; a broken one is a letter; an alert lands nowhere."""
    newer = evolved("decision", proof="string")
    newer_id = trial.register(newer, subject=f"{trial.decisions}-value")
    carried = trial.framed(payment(1))
    sent = [decision(transaction_id=f"t{n}", payment=carried, payment_offset=n) for n in range(3)]
    largest = decision(transaction_id="t3", payment=bytes(wire.LARGEST_RECORD), score=None, margin=None)
    values = [trial.framed(record, trial.decisions) for record in [*sent, largest]]
    values.append(wire.encode(decision(transaction_id="t4") | {"proof": "yes"}, schemas.parse(newer), newer_id))
    faults = {
        "out_of_range": trial.framed(decision(payment_offset=-1), trial.decisions),
        "card_not_hashed": trial.framed(decision(card_id="not-a-hash"), trial.decisions),
        "truncated": values[0][:-3],
    }
    trial.send([carried])
    trial.send([*values, *faults.values()], trial.decisions)
    trial.send(values, f"{trial.namespace}.{ALERTS.name}")

    trial.once()

    trial.assert_balance()
    assert {value: context.code for context, _, value in trial.letters().values()} == {
        value: code for code, value in faults.items()
    }
    landed = {row["transaction_id"]: row for row in trial.rows("decisions").to_pylist()}
    assert landed.keys() == {f"t{n}" for n in range(5)}
    for record in [*sent, largest]:
        row = landed[record["transaction_id"]]
        times = {name: round(row[name].timestamp() * 1e6) for name in ("event_time", "decided_at")}
        assert {name: row[name] for name in record} | times == record
    assert {row["schema_id"]: row["extra"] for row in landed.values()} == {
        trial.ids[trial.decisions]: None,
        newer_id: '{"proof":"yes"}',
    }


@pytest.mark.timeout(1200)
def test_killed_in_mid_batch_again_and_again_every_offset_lands_once(trial):
    """Kill -9 at random moments of a catch-up, the checkpoint deleted at last: each source offset lands once."""
    chance = random.Random(7)
    bad = [b"\x00\x00\x0f\xff\xff" + bytes(5), b"no frame"]
    for start in range(0, 12_000, 4_000):
        values = [trial.framed(payment(n)) if n % 20 else bad[n // 20 % 2] for n in range(start, start + 4_000)]
        trial.send(values)
        trial.send([trial.framed(label(n), trial.labels) for n in range(start, start + 400)], trial.labels)
        made = [trial.framed(decision(payment_offset=n), trial.decisions) for n in range(start, start + 400)]
        trial.send(made, trial.decisions)
    for kills in range(3):
        before = len(trial.landed())
        driver = trial.start("--max-offsets", "700", "--trigger-seconds", "0.1")
        wait_until(lambda before=before: len(trial.landed()) > before, f"rows after kill {kills}", 240, 0.05)
        time.sleep(chance.uniform(0, 1.5))  # the moment itself is what is tried
        trial.kill(driver)
    assert len(trial.landed()) < len(trial.acknowledged())
    trial.once()
    trial.assert_balance()

    for flow in trial.places.flows:
        offsets.forget(flow)
    trial.send([trial.framed(payment(n)) for n in range(20_000, 20_100)])
    files = len(trial.table().file_uris())
    trial.once("--compact-every", "1")
    trial.assert_balance()
    assert len(trial.landed()) + len(trial.letters()) == 3 * 4_800 + 100
    assert len(trial.table().file_uris()) < files, "small files were not compacted"
    batches = {}
    for row in trial.rows().select(["ingested_at", "source_partition", "source_offset"]).to_pylist():
        batches.setdefault(row["ingested_at"], []).append((row["source_partition"], row["source_offset"]))
    newest = max(batches)
    assert len(batches[newest]) == 100, "the rows of the last run are those with the newest ingestion time"


def test_a_running_driver_takes_a_new_schema_an_outage_and_no_rival(trial, stack):
    """Without a restart: an evolved writer lands, a second driver is refused, a registry away costs no letter."""
    driver = trial.start("--trigger-seconds", "0.5")
    trial.send([trial.framed(payment(1))])
    wait_until(lambda: len(trial.landed()) == 1, "the first row", 180)

    rival = subprocess.run(
        [sys.executable, "-m", "streaming", "bronze", "--namespace", trial.namespace],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rival.returncode == 1
    assert f"process {driver.pid} on " in rival.stderr

    newer = evolved(loyalty="string")
    newer_id = trial.register(newer)
    trial.send([wire.encode(payment(2) | {"loyalty": "gold"}, schemas.parse(newer), newer_id)])
    wait_until(lambda: len(trial.landed()) == 2, "the evolved row", 60)
    assert '{"loyalty":"gold"}' in trial.rows().column("extra").to_pylist()

    newest = evolved(loyalty="string", basket="long")
    newest_id = trial.register(newest)
    trial.writer(newest_id)  # known before the outage: send() reads the card from the value
    supervise.stop_service(stack, "registry")
    try:
        trial.send([wire.encode(payment(3) | {"loyalty": None, "basket": 3}, schemas.parse(newest), newest_id)])
        wait_until(lambda: trial.status().get("state") == "waiting", "the driver to say that it waits", 90)
        assert "registry" in trial.status()["detail"]
    finally:
        supervise.start_service(stack, "registry")
    wait_until(lambda: len(trial.landed()) == 3, "the row after the outage", 180)
    assert trial.letters() == {}
    assert driver.poll() is None, trial.said()
    trial.assert_balance()

    driver.terminate()
    assert driver.wait(60) == 0, trial.said()


def test_a_topic_made_anew_is_another_topic(trial):
    """An old topic's offsets do not meet those of a longer new one: refused, then landed from its beginning."""
    trial.send([trial.framed(payment(number)) for number in range(5)])
    trial.once()
    make_anew(topics.TRANSACTIONS, trial.namespace)
    trial.send([trial.framed(payment(number)) for number in range(10, 30)])
    refused = trial.start("--once")
    assert refused.wait(180) == 1
    assert f"{trial.payments} was made anew" in trial.said()
    assert len(trial.landed()) == 5
    trial.once("--accept-data-loss")
    wanted = [*range(5), *range(10, 30)]
    assert sorted(trial.rows().column("transaction_id").to_pylist()) == sorted(f"t{number}" for number in wanted)
    trial.send([trial.framed(payment(30))])
    trial.once()
    assert len(trial.landed()) == len(wanted) + 1
