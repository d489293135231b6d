"""What fills the online store is said by kind and loudly from 80 % on; a full one stops no decision, only windows."""

import json

import pytest

from clients import redis
from infra.native.state.asking import memory_of
from serving.online import memory, packing, windows
from tests.integration.stream_trial import Trial, payments
from tests.scorer_process import until


@pytest.fixture
def trial(stack_env, tmp_path):
    """Topics and a Redis of this test's own."""
    made = Trial(tmp_path)
    yield made
    made.end()


def test_each_kind_is_counted_with_its_bytes(trial):
    """Keys of each kind and their bytes; what a gigabyte holds follows; nearly full is said with what to do."""
    with trial.valkey.client() as client:
        for number in range(300):
            client.set(packing.Kind.CARD.prefix + b"%064x" % number, b"x" * 120)
            client.set(windows.key(f"{number:064x}"), b"x" * 400)
        found = {each.kind: each for each in memory.measure(client)}
        assert {kind: each.keys for kind, each in found.items()} == {"card's profile": 300, "card's window": 300}
        assert 150 < found["card's profile"].bytes_each < 400 < found["card's window"].bytes_each < 800
        assert found["card's window"].a_gb == int(2**30 / found["card's window"].bytes_each)
        assert redis.memory(client).trouble is None
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used * 10 // 9)
        client.config_set("maxmemory-policy", "noeviction")
        assert "raise maxmemory" in (redis.memory(client).trouble or "")
        assert "NEARLY FULL" in memory_of(trial.valkey.url)
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert redis.memory(client).trouble is None


def test_a_full_store_costs_windows_and_no_decision(trial):
    """The stream decides on, without windows and saying so; with room again windows are made whole."""
    trial.start()
    sent = payments(60, cards=5)
    trial.send(sent[:20])
    trial.wait_until_whole()
    with trial.valkey.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)
        with pytest.raises(redis.RedisError):
            client.set(b"more", b"x" * 1_000)
        trial.send(sent[20:40])
        until(lambda: len(trial.decided()) >= len(trial.due()), "every payment is decided", 60)
        client.config_set("maxmemory", 0)
    trial.send(sent[40:])
    trial.wait_until_whole()
    trial.check_windows()
    decided = trial.decided()
    assert set(decided) == trial.due()
    statuses = {json.loads(record["groups"])["window"]["status"] for found in decided.values() for record in found}
    assert "stale" in statuses
