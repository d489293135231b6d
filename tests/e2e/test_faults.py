"""Servers are killed in the middle of traffic; afterwards every count holds to the row."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bench.load.connections import Post
from bench.load.http import open_loop
from bench.load.payments import bodies, sample, to_score
from clients import trino
from infra.native.processes import supervise
from infra.native.stackenv import required
from infra.native.state.ready import why_not
from settings import PROJECT_DIR, settings
from tests.conftest import wait_until
from tests.e2e.conftest import balance, python

VICTIMS = ("kafka", "registry", "minio", "bronze", "trino", "postgres", "alerts-sink", "redis", "stream", "scorer")
READY_WITHIN_S = 180
RATE = 40
LONGEST_S = 900
UNDECIDED = """SELECT count(*) FROM bronze.transactions AS p
    WHERE p.message_type NOT IN ('refund', 'reversal') AND p.kafka_timestamp < p.event_time + INTERVAL '47' HOUR
    AND NOT EXISTS (SELECT 1 FROM bronze.decisions AS d
        WHERE d.payment_partition = p.source_partition AND d.payment_offset = p.source_offset)"""


class Predictions:
    """A constant rate of `/predict` in a thread, in slices of a second, every request counted with its time."""

    def __init__(self):
        self.ended = threading.Event()
        self.answers = []
        post = Post(f"{settings().api_url}/predict", {"x-api-key": settings().api_key.get_secret_value()})
        source = bodies(to_score(sample(500)))
        self.thread = threading.Thread(target=self._run, args=(post, source), daemon=True)

    def _run(self, post, source):
        while not self.ended.is_set():
            began = time.monotonic()
            self.answers.append((began, open_loop(post, source, RATE, 1.0, timeout_s=5.0)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(30)

    def wait_for_slices(self, count):
        """Wait until so many more slices have ended."""
        wanted = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= wanted, f"{count} more slices of predictions")

    def outcomes(self, since, until):
        """Return the count of each outcome of the slices that began between two moments."""
        found = {}
        for began, answers in self.answers:
            if since <= began < until:
                for outcome, count in answers.counts.items():
                    found[outcome] = found.get(outcome, 0) + count
        return found


def kill(stack, name):
    """Kill -9 the service's process, and wait until its successor answers a real request."""
    before = supervise.states(stack)[name]["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: supervise.states(stack)[name]["pid"] not in (0, before), f"{name} starts again", READY_WITHIN_S)
    wait_until(lambda: why_not(name, required(stack)) is None, f"{name} answers again", READY_WITHIN_S)


@pytest.mark.timeout(LONGEST_S)
def test_the_balance_holds_after_each_server_was_killed(stack, line):
    """Kill -9 of each server in steady traffic: nothing is lost, nothing is twice, no 5xx while Redis is away."""
    del line
    traffic = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ingestion",
            "simulate",
            "--cards",
            "300",
            "--tps",
            str(RATE),
            "--seconds",
            str(LONGEST_S),
            "--bad-share",
            "0.02",
        ],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    spans = {}
    try:
        with Predictions() as predictions:
            predictions.wait_for_slices(2)
            for name in VICTIMS:
                began = time.monotonic()
                kill(stack, name)
                spans[name] = (began - 1, time.monotonic())
                # A slice that began in this span must not reach into the next.
                predictions.wait_for_slices(2)
            assert traffic.poll() is None, f"the producer gave up:\n{traffic.communicate()[0][-3000:]}"
    finally:
        traffic.send_signal(signal.SIGINT)
        said, _ = traffic.communicate(timeout=120)
    for name, span in spans.items():
        print(f"{name}: away {span[1] - span[0] - 1:.1f} s, /predict {predictions.outcomes(*span)}")
    wait_until(_landed, "every acknowledged offset is a Bronze row or a dead letter", READY_WITHIN_S, 3.0)
    done = python("infra.native", "refresh", "--once", timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + said[-1000:]
    found = balance()
    assert found["balances"], found["problems"]
    twice = trino.query("""SELECT count(*) FROM (SELECT source_topic, source_partition, source_offset
        FROM bronze.transactions GROUP BY 1, 2, 3 HAVING count(*) > 1)""")
    assert twice[0][0] == 0
    same = trino.query("""SELECT count(*) FROM (SELECT source, transaction_id FROM silver.transactions
        GROUP BY 1, 2 HAVING count(*) > 1)""")
    assert same[0][0] == 0
    wait_until(lambda: trino.query(UNDECIDED)[0][0] == 0, "every live payment has its decision in Bronze", 60, 3.0)
    verified = python("serving", "feature-writer", "verify")
    assert verified.returncode == 0, verified.stdout
    for name in VICTIMS[:-1]:
        errors = {o: n for o, n in predictions.outcomes(*spans[name]).items() if not o.startswith("2")}
        assert not errors, f"/predict while {name} was away: {errors}"
    # A scorer reads its kept model before it listens: who reaches it gets a decision.
    assert set(predictions.outcomes(*spans["scorer"])) <= {"200", "refused", "reset"}


def _landed():
    found = balance()
    return found["bronze"] + found["dead_letters"] == found["acknowledged"]
