"""The stream scorer on a real Kafka and Redis: every payment decided, and its windows equal to a recount."""

import json
import signal
import time

import pytest
from confluent_kafka import Producer

import features
from clients import kafka, registry
from contracts import schemas, topics, wire
from serving.online.windows import PROGRESS_KEYS
from settings import settings
from tests.integration.stream_trial import Trial, bad, payments
from tests.integration.topic_anew import make_anew
from tests.scorer_process import until

pytestmark = pytest.mark.usefixtures("stack")
STAGES = ("decode", "find", "build", "draft", "score", "rules", "record", "send", "acknowledge", "store")


@pytest.fixture
def trial(stack, tmp_path):
    """Topics and a Redis of the test's own."""
    made = Trial(tmp_path)
    yield made
    made.end()


def test_every_payment_is_decided_once_and_observed(trial):
    """Good payments have one decision with the window they had; bad ones and refunds none; alerts are copies."""
    records = payments(3_000)
    mixed = [each for n, record in enumerate(records) for each in ([bad(record), record] if n % 40 == 0 else [record])]
    trial.start()
    trial.send(mixed)
    trial.wait_until_whole()
    counts = trial.check_decisions(once=True)
    trial.check_windows()
    assert counts["fresh"] > 0.9 * counts["decisions"]
    assert set(counts) <= {"decisions", "fresh", "late"}
    alerts, decided = trial.decided(trial.alerts), trial.decided()
    assert {place for place, (record,) in decided.items() if record["decision"] != "approve"} == set(alerts)
    assert all(decided[place] == found for place, found in alerts.items())


def test_history_is_observed_and_not_decided(trial):
    """Payments more than 48 h old when they arrive are in the windows, and nobody decides about them."""
    trial.start()
    trial.send(payments(500, ago_s=80 * 3_600)[:200])
    trial.wait_until_whole()
    assert trial.count() == 0
    trial.check_windows()


def test_poison_is_refused_and_its_neighbours_are_decided(trial):
    """Bytes under another subject's recursive schema, or an array's, and payments in a wrong place end nothing."""
    link = {"name": "next", "type": ["null", "L"], "default": None}
    items = {"name": "a", "type": {"type": "array", "items": "null"}}
    texts = [{"type": "record", "name": "L", "fields": [link]}, {"type": "record", "name": "A", "fields": [items]}]
    ids = [registry.register_text(f"{trial.namespace}.evil-{n}", json.dumps(text)) for n, text in enumerate(texts)]
    payloads = [b"\x02" * 8_000 + b"\x00", b"\x80\xa4\xe8\x03\x00"]
    bombs = [b"\x00" + number.to_bytes(4, "big") + payload for number, payload in zip(ids, payloads, strict=True)]
    records = payments(300, seed=21)[:300]
    stream = trial.start()
    for start in range(0, 300, 100):
        trial.send([*records[start : start + 100], *bombs])
    frame = wire.encode(records[0], schemas.parsed("transaction"), trial.schema_id)
    producer = kafka.producer()
    producer.produce(trial.topic, frame)  # without a key
    producer.produce(trial.topic, frame, b"another")
    assert producer.flush(30) == 0
    trial.wait_until_whole()
    assert stream.child.poll() is None
    decided = trial.decided()
    assert {record["transaction_id"] for (record, *_) in decided.values()} >= {
        record["transaction_id"] for record in records if record["message_type"] not in features.NOT_ATTEMPTS
    }
    status = trial.home / "status" / "stream.json"
    until(lambda: json.loads(status.read_text()).get("invalid") == 8, f"bad ones are counted; {trial.said()}", 30)
    assert json.loads(status.read_text())["refused_wrong_key"] == 2


def test_transactions_and_their_markers_are_understood(trial):
    """A committed payment is decided, an aborted one is nobody's; behind both windows are whole and no lag stays."""
    made, aborted = payments(2, cards=1, seed=22, ago_s=2)[:2]
    trial.start()
    for record, commits in ((made, True), (aborted | {"transaction_id": "aborted"}, False)):
        producer = Producer(
            {
                "bootstrap.servers": settings().kafka_bootstrap,
                "partitioner": "murmur2_random",
                "transactional.id": f"{trial.namespace}-{commits}",
            }
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        frame = wire.encode(record, schemas.parsed("transaction"), trial.schema_id)
        producer.produce(trial.topic, frame, record["card_id"].encode())
        assert producer.flush(30) == 0
        producer.commit_transaction(30) if commits else producer.abort_transaction(30)
    trial.wait_until_whole()
    group = f"{trial.namespace}.{topics.STREAM_GROUP}"
    until(lambda: kafka.lag(group, trial.topic) == 0, f"no lag stays; {trial.said()}", 30)
    assert [record["transaction_id"] for (record, *_) in trial.decided().values()] == [made["transaction_id"]]


def test_a_fast_clock_shuts_no_window(trial):
    """One payment nine minutes ahead of its arrival: those of right clocks after it have their windows."""
    now_us = time.time_ns() // 1_000
    base = payments(1, cards=1, seed=23)[0] | {"message_type": "authorization"}
    fast = base | {"transaction_id": "fast", "event_time": now_us + 540_000_000}
    honest = [base | {"transaction_id": f"honest-{n}", "event_time": now_us - 200_000_000 + n} for n in range(8)]
    trial.start()
    trial.send([fast])
    trial.send(honest)
    trial.wait_until_whole()
    assert trial.check_decisions(once=True)["fresh"] == 9
    trial.check_windows()


def test_the_same_stamp_decides_for_everybody(trial):
    """A sender's own timestamp is not kept: what it says of a payment changes neither its decision nor its place."""
    producer = kafka.producer()
    for number, ago_ms in enumerate((0, 1_200_000, -3_000_000)):
        payment = payments(1, cards=1, seed=24, ago_s=5)[0] | {"transaction_id": f"stamp-{number}"}
        frame = wire.encode(payment, schemas.parsed("transaction"), trial.schema_id)
        stamp = time.time_ns() // 1_000_000 - ago_ms
        producer.produce(trial.topic, frame, payment["card_id"].encode(), timestamp=stamp)
    assert producer.flush(30) == 0
    trial.start()
    trial.wait_until_whole()
    trial.check_decisions(once=True)
    now_us = time.time_ns() // 1_000
    assert all(now_us - 120_000_000 < payment["_at_us"] <= now_us for payment in trial.arrived().values())


def test_a_topic_made_anew_is_another_topic(trial):
    """Offsets of the old topic do not meet those of the new one, also once it is longer: decided, then made again."""
    first = trial.start()
    trial.send(payments(200, seed=25))
    trial.wait_until_whole()
    first.send(signal.SIGTERM)
    assert first.child.wait(30) == 0
    old = kafka.topic_id(trial.topic)
    make_anew(topics.TRANSACTIONS, trial.namespace)
    assert kafka.topic_id(trial.topic) != old
    records = payments(400, seed=26)
    trial.send(records)
    trial.start()
    new = {record["transaction_id"] for record in records if record["message_type"] not in features.NOT_ATTEMPTS}

    def decided():
        found = [record for again in trial.decided().values() for record in again]
        return {r["transaction_id"]: json.loads(r["groups"])["window"]["status"] for r in found}

    until(lambda: new <= decided().keys(), f"all of the new topic are decided; {trial.said()}", 60)
    assert {decided()[name] for name in new} == {"stale"}
    assert trial.run("rebuild").child.wait(120) == 0
    trial.wait_until_whole()
    trial.check_windows()


@pytest.mark.parametrize("stage", STAGES)
def test_killed_between_two_steps(trial, stage):
    """Killed -9 after each stage of a batch, again and again: every payment decided, windows as a recount has them."""
    records = payments(4_000, seed=STAGES.index(stage))
    trial.start(stage, "2", member="a")
    trial.send(records[:1_000])
    for turn in range(4):
        process = trial.processes[-1]
        until(lambda process=process: process.child.poll() is not None, f"killed; {trial.said()}", 60)
        process = trial.start(stage, str(turn + 1), member="a") if turn < 3 else trial.start(member="a")
        trial.send(records[1_000 * turn + 1_000 :][:1_000])
    trial.wait_until_whole()
    trial.check_decisions()
    trial.check_windows()


@pytest.mark.parametrize("emptied", [True, False], ids=["with all its data", "for a while"])
def test_redis_away_in_traffic(trial, emptied):
    """Redis gone in the middle of traffic: decisions go on, degraded and marked; then the windows equal the recount."""
    records = payments(3_000, seed=11)
    trial.start()
    trial.send(records[:1_000])
    trial.wait_until_whole()
    trial.valkey.kill() if emptied else trial.valkey.send(signal.SIGSTOP)
    trial.send(records[1_000:2_000], rate=500)
    due = len(trial.due())
    until(lambda: trial.count() == due, f"decisions go on; {trial.said()}", 60)
    trial.valkey.start() if emptied else trial.valkey.send(signal.SIGCONT)
    trial.send(records[2_000:], rate=500)
    trial.wait_until_whole()
    counts = trial.check_decisions()
    assert counts["unreachable"] > 0
    trial.check_windows()


def test_an_old_owner_that_wakes_up_changes_nothing(trial):
    """A member frozen past its session, its partitions given to another: what it still writes is refused."""
    records = payments(3_000, seed=5)
    first = trial.start()
    trial.send(records[:1_000])
    trial.wait_until_whole()
    first.send(signal.SIGSTOP)
    trial.send(records[1_000:2_000])
    trial.start()
    trial.wait_until_whole()
    first.send(signal.SIGCONT)
    trial.send(records[2_000:], rate=1_000)
    trial.wait_until_whole()
    trial.check_decisions()
    trial.check_windows()


def test_two_share_the_partitions(trial):
    """A second member takes partitions over in traffic, and gives them back when it ends; nothing is lost."""
    records = payments(3_000, seed=6)
    trial.start()
    trial.send(records[:500])
    trial.wait_until_whole()
    second = trial.start()
    trial.send(records[500:2_000], rate=500)
    until(lambda: trial.members() == 2, "both have partitions", 60)
    trial.send(records[2_000:2_500], rate=500)
    second.send(signal.SIGTERM)
    trial.send(records[2_500:], rate=500)
    trial.wait_until_whole()
    assert second.child.wait(20) == 0
    trial.check_decisions()
    trial.check_windows()


def test_forgotten_progress_is_made_again(trial):
    """A Redis that lost everything while nobody paid is filled again from Kafka, without deciding twice."""
    trial.start()
    trial.send(payments(1_000, seed=7))
    trial.wait_until_whole()
    before = trial.count()
    with trial.valkey.client() as client:
        client.flushall()
    until(lambda: len(trial.progress()) == len(PROGRESS_KEYS), "progress is there again", 60)
    trial.wait_until_whole()
    trial.check_windows()
    assert trial.count() == before


def test_rebuild_in_traffic(trial):
    """`serving rebuild` while payments flow: all windows are forgotten and made again, and equal the recount."""
    records = payments(3_000, seed=9)
    trial.start()
    trial.send(records[:1_000])
    trial.wait_until_whole()
    rebuilding = trial.run("rebuild")
    trial.send(records[1_000:], rate=500)
    assert rebuilding.child.wait(60) == 0, trial.said()
    trial.wait_until_whole()
    trial.check_decisions()
    trial.check_windows()


def test_predict_reads_the_streams_windows(trial):
    """What the stream observed is in a judged payment a moment later, and goes stale when nobody observes any more."""
    from serving.online.windows import judge, key

    stream = trial.start()
    record = payments(1, seed=8)[0] | {"message_type": "authorization"}
    trial.send([record])
    trial.wait_until_whole()
    later = record | {"transaction_id": "next", "event_time": time.time_ns() // 1_000}
    with trial.valkey.client() as client:
        keys = [key(record["card_id"]), *PROGRESS_KEYS]
        until(lambda: judge(later, *_split(client.mget(keys))).status is features.Status.FRESH, "a heartbeat", 20)
        found = judge(later, *_split(client.mget(keys)))
        assert found.values[2] == 1
        stream.kill()
        gone = later | {"event_time": later["event_time"] + 60_000_000}
        assert judge(gone, *_split(client.mget(keys))).status is features.Status.STALE


def _split(values):
    return values[0], values[1:]
