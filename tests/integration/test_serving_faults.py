"""Redis killed, frozen or full in the middle of traffic at a constant rate: every request is answered, and in time."""

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter

import pytest

from bench.load.connections import Post
from bench.load.http import open_loop
from tests.scorer_process import API_KEY, Scorer, Valkey, body, until

RATE = 100
SECONDS = 6.0
LONGEST_MS = 5_000  # a caller's patience; the shared machine, not the scorer, comes near it
MEDIAN_MS = 100


@pytest.fixture
def valkey(tmp_path):
    """A Redis that the test may break."""
    server = Valkey.at(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def scorer(valkey, tmp_path):
    """A scorer with the tiny model and the time limit as it is shipped, whose breaker waits half a second."""
    limits = {"SCORER_REDIS_TIMEOUT_MS": "20", "SCORER_REDIS_SLOW_MS": "15", "SCORER_BREAKER_WAIT_S": "0.5"}
    process = Scorer.at(tmp_path / "scorer", valkey.url, **limits)
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()


@pytest.fixture
def patient(valkey, tmp_path):
    """A scorer that waits for Redis as long as a busy machine makes it."""
    process = Scorer.at(tmp_path / "patient", valkey.url)
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()


class Traffic:
    """Distinct payments at a constant rate; each answer is kept with the time at which it came."""

    def __init__(self, scorer):
        self.post = Post(f"{scorer.url}/predict", {"X-API-Key": API_KEY})
        self.statuses, self.degraded = Counter(), []
        self.answers = None

    def run(self, *acts):
        """Send for SECONDS; each of `acts` is (second, action)."""
        timers = [threading.Timer(second, action) for second, action in acts]
        for timer in timers:
            timer.start()
        try:
            bodies = (body(number) for number in itertools.count())
            self.answers = open_loop(self.post, bodies, RATE, SECONDS, timeout_s=10, on_answer=self._note)
        finally:
            for timer in timers:
                timer.join()
        return self

    def _note(self, status, content):
        self.statuses[status] += 1
        answer = json.loads(content)
        self.degraded.append((time.monotonic(), {m["group"]: m["status"] for m in answer.get("degraded_groups", [])}))

    def check(self):
        """Every request has a 200, in time, and the outage is named in some of them."""
        assert self.answers.counts == {"200": round(RATE * SECONDS)}
        assert max(self.answers.latency_ms) < LONGEST_MS
        assert self.answers.quantile(50) < MEDIAN_MS
        away = dict.fromkeys(("card", "acceptor", "window"), "unreachable")
        assert away in [groups for _, groups in self.degraded]


def breaker(scorer):
    with scorer.client() as client:
        return client.get("/health/ready").json()["online_store"]


def recovered(scorer):
    """A new payment finds the store again (it says stale here, since nothing was ever published)."""
    number = itertools.count(10_000_000)
    with scorer.client() as client:

        def reached():
            answer = client.post("/predict", content=body(next(number))).json()
            return answer["features"]["card"]["status"] != "unreachable"

        until(reached, "the store is reached again", 30)
        until(lambda: reached() and breaker(scorer) == "closed", "the breaker closes", 30)


def test_redis_killed_in_traffic(valkey, scorer):
    """Kill -9 of Redis and its return: no 5xx, nothing lost, degraded named, in time; then it is used again."""
    traffic = Traffic(scorer).run((1.5, valkey.kill), (4.0, valkey.start))
    traffic.check()
    recovered(scorer)


def test_redis_frozen_in_traffic(valkey, scorer):
    """A Redis that holds connections open and says nothing costs each caller the time limit at most, then nothing."""
    freeze, thaw = lambda: valkey.send(signal.SIGSTOP), lambda: valkey.send(signal.SIGCONT)
    traffic = Traffic(scorer).run((1.5, freeze), (4.0, thaw))
    traffic.check()
    recovered(scorer)


def test_breaker_opens_and_spares_callers(valkey, scorer):
    """With Redis gone the breaker is open, metrics and readiness say so, and most callers do not even try."""
    valkey.kill()
    with scorer.client() as client:
        for number in range(60):
            assert client.post("/predict", content=body(number)).status_code == 200
        assert breaker(scorer) in {"open", "half_open"}
        text = scorer.metrics()
    assert 'fraud_breaker_state{state="closed"} 0.0' in text
    assert 'fraud_degraded_groups_total{group="card",status="unreachable"} 60.0' in text


def test_repeats_are_answered_alike_without_redis(valkey, scorer):
    """While Redis is away a repeat gets the same answer and another body 409; afterwards still so."""
    valkey.kill()
    with scorer.client() as client:
        first = client.post("/predict", content=body(1))
        assert first.json()["degraded"]
        assert client.post("/predict", content=body(1)).content == first.content
        assert client.post("/predict", content=body(1, amount="1")).status_code == 409
        valkey.start()
        recovered(scorer)
        assert client.post("/predict", content=body(1)).content == first.content


def test_answers_kept_in_redis_survive_the_scorer(valkey, scorer):
    """Kill -9 of the scorer: the next one gives the same answers."""
    with scorer.client() as client:
        first = client.post("/predict", content=body(1)).content
    scorer.kill()
    scorer.start_ready()
    with scorer.client() as client:
        assert client.post("/predict", content=body(1)).content == first


def test_full_redis_keeps_serving(valkey, patient):
    """A Redis that refuses to store anything still gives profiles; repeats are kept by the scorer itself."""
    valkey.client().config_set("maxmemory", 1)
    with patient.client() as client:
        for number in range(30):
            first = client.post("/predict", content=body(number))
            assert first.status_code == 200
            assert first.json()["features"]["card"]["status"] != "unreachable"
            assert client.post("/predict", content=body(number)).content == first.content
    assert breaker(patient) == "closed"


def test_redis_away_at_start(valkey, tmp_path):
    """A scorer that starts without Redis is ready and answers, degraded; Redis is used as soon as it comes."""
    valkey.kill()
    process = Scorer.at(tmp_path / "late", valkey.url, SCORER_BREAKER_WAIT_S="0.5")
    process.cache_model()
    process.start_ready()
    try:
        with process.client() as client:
            assert client.post("/predict", content=body(1)).json()["degraded"]
        valkey.start()
        recovered(process)
    finally:
        process.kill()


def test_wrong_password_degrades(valkey, tmp_path):
    """A Redis that denies us is like one that is away: answers go on, and nothing says the password."""
    valkey.client().config_set("requirepass", "right")
    process = Scorer.at(tmp_path / "denied", valkey.url.replace("redis://", "redis://:wr0ng-one@"))
    process.cache_model()
    process.start_ready()
    try:
        with process.client() as client:
            answer = client.post("/predict", content=body(1))
            assert answer.json()["degraded_groups"][0]["status"] == "unreachable"
            assert "wr0ng" not in answer.text
    finally:
        process.kill()
        assert b"wr0ng" not in process.log.read_bytes()


def test_a_graceful_stop_answers_what_is_under_way(scorer):
    """SIGTERM in traffic: no answer is cut short; the process ends by itself with 0 or its signal."""
    post = Post(f"{scorer.url}/predict", {"X-API-Key": API_KEY})
    stop = threading.Timer(1.0, lambda: os.kill(scorer.child.pid, signal.SIGTERM))
    stop.start()
    answers = open_loop(post, (body(n) for n in itertools.count()), RATE, 2.0, timeout_s=5)
    stop.join()
    assert scorer.child.wait(15) in {0, -signal.SIGTERM}
    assert set(answers.counts) <= {"200", "refused", "reset"}
    assert answers.counts["200"] >= RATE * 0.1
