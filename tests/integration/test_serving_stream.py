"""The stream scorer on a real Kafka and Redis: every payment decided, and its windows equal to a recount."""

import signal
import time

import pytest

import features
from serving.online.windows import PROGRESS_KEYS
from tests.integration.stream_trial import Trial, bad, payments
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
