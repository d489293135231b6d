"""Every decision that /predict answers is an event: once on Kafka, whatever was killed, and never decided again."""

import json
import signal
import time
from collections import Counter

import numpy as np
import pytest

import features
from clients import kafka, registry
from contracts import decision_header, schemas, wire
from infra.native import stackenv
from infra.native.paths import current_home
from tests.integration.stream_trial import Trial
from tests.scorer_process import Scorer, body, free_port, payment, until


@pytest.fixture
def trial(stack_env, tmp_path):
    """Topics and a Redis of this test's own."""
    made = Trial(tmp_path)
    yield made
    made.end()


def scorer_of(trial, folder, **extra):
    """Return a scorer beside the trial's streams: the same topics, Redis, keys; not started yet."""
    environment = stackenv.required(current_home())
    names = ("KAFKA_BOOTSTRAP", "REGISTRY_URL", "DECISION_KEY", "CARD_HASH_KEY")
    servers = {name: environment[name] for name in names} | {"SERVING_NAMESPACE": trial.namespace} | extra
    process = Scorer.at(folder, trial.valkey.url, **servers)
    process.cache_model()
    return process


def records(topic):
    """Return every decision on a topic, in the order of its partitions."""
    writer = registry.writers()
    return [wire.decode(message.value(), writer, "decision")[1] for message in kafka.read_all(topic)]


def test_an_answer_is_a_view_of_the_record_on_kafka(trial, tmp_path):
    """Asked once or twice, alone or in a batch: the record of each answer is there, and is made again to the bit."""
    process = scorer_of(trial, tmp_path / "scorer")
    process.start_ready()
    try:
        with process.client() as client:
            first = client.post("/predict", content=body(1), headers={"X-Request-Id": "r-1"})
            again = client.post("/predict", content=body(1), headers={"X-Request-Id": "r-2"})
            explained = client.post("/predict", content=body(2, explain=True)).json()
            many = client.post("/predict/batch", content=json.dumps({"payments": [payment(3), payment(1)]})).json()
        until(lambda: len(records(trial.decisions)) == 5, "five records, a repeat's among them")
    finally:
        process.kill()
    assert first.content == again.content
    assert many["results"][1]["answer"] == first.json()
    found = records(trial.decisions)
    answers = {each["decision_id"]: each for each in (first.json(), explained, many["results"][0]["answer"])}
    assert {each["decision_id"] for each in found} == answers.keys()
    for record in found:
        answer = answers[record["decision_id"]]
        assert (record["origin"], record["request_id"]) == ("api", answer["request_id"])
        assert (record["payment_partition"], record["payment_offset"]) == (None, None)
        assert (record["score"], record["decision"], json.loads(record["reasons"])) == (
            answer["score"],
            answer["decision"],
            answer["reasons"],
        )
        fields = json.loads(record["payment_fields"])
        assert (fields["transaction_id"], fields["merchant_id"]) == (answer["transaction_id"], "M-77")
        assert "4111" not in str(record)
    assert first.json()["request_id"] == "r-1"


def test_what_was_answered_is_on_kafka_after_a_kill_while_kafka_was_away(trial, tmp_path):
    """Kafka away: answers keep their time. Killed with -9 and started again with Kafka: every record, in order."""
    away = scorer_of(trial, tmp_path / "scorer", KAFKA_BOOTSTRAP=f"127.0.0.1:{free_port()}")
    away.start_ready()
    with away.client() as client:
        given = [client.post("/predict", content=body(n, card_number="4111111111111111")) for n in range(40)]
        slowest = max(answer.elapsed.total_seconds() for answer in given)
        ready = client.get("/health/ready").json()
    away.send(signal.SIGKILL)
    away.kill()
    assert [answer.status_code for answer in given] == [200] * 40
    assert slowest < 2, "an answer waited for Kafka"
    assert ready["recorder"]["waiting_bytes"] > 40 * 500
    back = scorer_of(trial, tmp_path / "scorer")
    back.command[-1] = away.command[-1]
    back.port = away.port
    back.start_ready()
    try:
        until(lambda: len(records(trial.decisions)) >= 40, "what waited on disk is on Kafka")
    finally:
        back.kill()
    found = [each["decision_id"] for each in records(trial.decisions)]
    assert found == [answer.json()["decision_id"] for answer in given]


def test_a_payment_that_was_decided_and_observed_is_not_decided_again(trial, tmp_path):
    """The stream observes it in its card's window and leaves the record that the caller acted on: one, and no more.

    A header that nobody of ours signed changes nothing.
    """
    trial.start()
    process = scorer_of(trial, tmp_path / "scorer", SCORER_OBSERVE_WITHIN_S="60")
    process.start_ready()
    now_us = time.time_ns() // 1_000
    forged = schemas.defaults("transaction") | {
        "source": "forger",
        "transaction_id": "forged",
        "event_time": now_us,
        "card_id": "cd" * 32,
        "amount_minor": 100,
        "currency": "USD",
    }
    value = wire.encode(forged, schemas.parsed("transaction"), trial.schema_id)
    try:
        with process.client() as client:
            asked = [client.post("/predict", content=body(n, event_time=now_us, observe=True)).json() for n in range(3)]
            assert all(each["observed"]["why"] is None for each in asked)
            producer = kafka.producer()
            producer.produce(trial.topic, value, b"cd" * 32, headers=[(decision_header.NAME, b"0" * 16 + b"api:none")])
            assert producer.flush(30) == 0
            until(lambda: len(records(trial.decisions)) >= 4, "three by the API, the forged one by the stream", 90)
            trial.wait_until_whole()
            last = client.post("/predict", content=body(10, event_time=now_us, explain=True)).json()
            until(lambda: len(records(trial.decisions)) >= 5, "the last one's record")
    finally:
        process.kill()
    found = records(trial.decisions)
    by = Counter((each["origin"], each["source"]) for each in found)
    assert by == {("api", "acquirer-1"): 4, ("stream", "forger"): 1}
    assert last["features"]["window"]["status"] == "fresh"
    (vector,) = [each["vector"] for each in found if each["request_id"] == last["request_id"]]
    assert np.frombuffer(vector, "<f4")[features.NAMES.index("tx_count_24hr")] == 3
