"""observe: true on /predict: the payment stands on Kafka when the answer says so, and Kafka away costs no decision."""

import json
import socket
import time

from clients import kafka, registry
from contracts import wire
from contracts.topics import TRANSACTIONS
from tests.scorer_process import Scorer, body, free_port, payment


def started(folder, url, **extra):
    """Return a scorer with the tiny model that is ready."""
    process = Scorer.at(folder, url, **extra)
    process.cache_model()
    process.start_ready()
    return process


def test_an_observed_payment_stands_on_kafka_as_it_was_asked(stack_env, valkey, tmp_path):
    """The answer names the message; it is the validated record, keyed by its card; unasked, nothing is sent."""
    servers = {name: stack_env[name] for name in ("KAFKA_BOOTSTRAP", "REGISTRY_URL")}
    servers["SCORER_OBSERVE_WITHIN_S"] = "30"  # what stands on Kafka is asked here, not how fast
    process = started(tmp_path / "scorer", valkey.url, **servers)
    try:
        with process.client() as client:
            before = kafka.ends(TRANSACTIONS.name)
            quiet = client.post("/predict", content=body(70)).json()
            assert quiet.get("observed") is None
            assert kafka.ends(TRANSACTIONS.name) == before
            first = client.post("/predict", content=body(71, observe=True)).json()
            many = [payment(72, observe=True), payment(73), payment(74, observe=True, amount=-1)]
            batch = client.post("/predict/batch", content=json.dumps({"payments": many})).json()["results"]
    finally:
        process.kill()
    assert first["observed"]["why"] is None
    message = kafka.read_one(TRANSACTIONS.name, first["observed"]["partition"], first["observed"]["offset"])
    _, record = wire.decode(message.value(), registry.writers(), "transaction")
    assert message.key().decode() == record["card_id"]
    assert (record["transaction_id"], record["amount_minor"], record["merchant_id"]) == ("pay-00000071", 24990, "M-77")
    assert "4111" not in str(record)
    assert [result["status"] for result in batch] == [200, 200, 422]
    assert [result.get("answer", {}).get("observed") is not None for result in batch] == [True, False, False]
    after = kafka.ends(TRANSACTIONS.name)
    assert sum(after.values()) - sum(before.values()) == 2


def test_without_kafka_the_decision_comes_and_says_that_the_payment_waits(stack_env, valkey, tmp_path):
    """Kafka that does not answer: 200 with why and what happens; the same body asked again gets the same decision."""
    servers = {"KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}", "REGISTRY_URL": stack_env["REGISTRY_URL"]}
    process = started(tmp_path / "scorer", valkey.url, **servers)
    try:
        with process.client() as client:
            answers = [client.post("/predict", content=body(80, observe=True)) for _ in range(2)]
    finally:
        process.kill()
    found = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 200]
    for answer in found:
        assert "on this scorer's disk" in answer.pop("observed")["why"]
    assert found[0] == found[1]


def test_without_the_registry_too(valkey, tmp_path):
    """A registry that does not answer is no reason to withhold a decision."""
    process = started(tmp_path / "scorer", valkey.url)
    try:
        with process.client() as client:
            answer = client.post("/predict", content=body(90, observe=True))
    finally:
        process.kill()
    assert answer.status_code == 200
    assert answer.json()["observed"]["why"]


def test_a_silent_registry_holds_nobody_up(valkey, tmp_path):
    """A registry that takes connections and says nothing: every decision comes in its time, with its record on disk."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        process = Scorer.at(tmp_path / "scorer", valkey.url)
        process.environment["REGISTRY_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/apis/ccompat/v7"
        process.cache_model()
        process.start_ready()
        try:
            with process.client() as client:
                taken = []
                for number in range(100, 150):
                    began = time.monotonic()
                    assert client.post("/predict", content=body(number, observe=number == 120)).status_code == 200
                    taken.append(time.monotonic() - began)
        finally:
            process.kill()
    # Not a figure of speed: the registry's time limit is 5 s, and one look at it would be as long.
    assert max(taken) < 4
