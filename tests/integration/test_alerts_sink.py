"""Decisions from Kafka in PostgreSQL: each once, joined to alerts, whatever is killed meanwhile."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import postgres
from infra.native import supervise
from infra.native.paths import Home
from infra.native.ready import why_not
from infra.native.stackenv import required
from tests.conftest import wait_until
from tests.integration.alerts_trial import AlertsTrial, card_of
from tests.scorer_process import until

ALERTS = """SELECT card_id, opened_at, last_at, payments, amount, expected_loss, max_score, action, state FROM alerts
    ORDER BY card_id, opened_at"""


@pytest.fixture
def trial(stack: Home, tmp_path: Path) -> Iterator[AlertsTrial]:
    """Topics and a database of the test's own."""
    made = AlertsTrial(tmp_path)
    yield made
    made.end()


def test_killed_in_the_middle_every_decision_is_there_once(trial: AlertsTrial) -> None:
    """Kill -9 three times when the database has a batch that Kafka does not know: all are there, once, in one alert."""
    draw = random.Random(5)
    made = [
        trial.decision(n % 20, f"p{n}", 600 - n, decision=draw.choice(["approve"] * 3 + ["review", "block"]))
        for n in range(400)
    ]
    trial.send(made)
    for _ in range(3):
        dying = trial.sink(crash_after=2)
        assert dying.child is not None
        assert dying.child.wait(60) == -9, trial.said()
    trial.sink()
    trial.wait_for(400)
    trial.send(made[:100])  # repeats
    trial.send([trial.decision(999, "last")])
    trial.wait_for(401)
    alerted = {record["card_id"] for record in made if record["decision"] != "approve"} | {card_of(999)}
    assert trial.count("decisions") == 401
    found = trial.rows(ALERTS)
    assert {alert["card_id"] for alert in found} == alerted
    assert len(found) == len(alerted)
    for alert in (each for each in found if each["card_id"] != card_of(999)):
        own = [r for r in made if r["card_id"] == alert["card_id"] and r["decision"] != "approve"]
        assert alert["payments"] == len(own)
        assert alert["expected_loss"] == pytest.approx(sum(100 * r["score"] for r in own))


def test_later_payments_join_for_24_hours(trial: AlertsTrial) -> None:
    """A card's payments within 24 hours of the alert's first are one alert; one after them begins another."""
    trial.sink()
    hours = [47, 40, 24, 22.5, 1]
    trial.send([trial.decision(1, f"p{h}", h * 3600, minor=2_000, score=0.5) for h in hours])
    trial.send([trial.decision(1, "paid", 3_000, decision="approve", score=0.1)])
    trial.send([trial.decision(1, "strict", 1_800, decision="block", decided_by="rule", score=None)])
    trial.wait_for(7)
    first, second = trial.rows(ALERTS)
    assert (first["payments"], second["payments"]) == (3, 3)
    assert (first["action"], second["action"]) == ("review", "block")
    # A rule that blocks without a score counts with the whole amount.
    assert second["expected_loss"] == pytest.approx(10 + 10 + 100)
    assert trial.rows("SELECT alert_id FROM decisions WHERE transaction_id = 'paid'")[0]["alert_id"] is None


def test_an_approval_that_became_an_alert_is_shown(trial: AlertsTrial) -> None:
    """A payment approved and, after a crash, decided again as an alert is one; the other way round it stays one."""
    trial.sink()
    twice = [trial.decision(1, "a", decision="approve"), trial.decision(2, "b")]
    trial.send(twice)
    trial.wait_for(2)
    trial.send([twice[0] | {"decision": "review"}, twice[1] | {"decision": "approve"}, trial.decision(3, "c")])
    trial.wait_for(3)
    assert {alert["card_id"] for alert in trial.rows(ALERTS)} == {card_of(1), card_of(2), card_of(3)}


def test_every_text_of_the_history_can_be_looked_through(trial: AlertsTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scan for card numbers reads of PostgreSQL has each payment's texts; without tables it has none."""
    monkeypatch.setattr(postgres, "_url", lambda: trial.url)
    assert list(postgres.everything()) == []
    trial.sink()
    trial.send([trial.decision(1, "name-to-be-found")])
    trial.wait_for(1)
    assert ("decisions transaction_id", "name-to-be-found") in list(postgres.everything())


def test_what_cannot_be_read_or_stored_holds_up_nothing(trial: AlertsTrial) -> None:
    """A decision with an unreadable payment, and one that PostgreSQL refuses, are left out; the others are there."""
    trial.sink()
    broken = trial.decision(1, "broken") | {"payment": b"no payment"}
    refused = trial.decision(2, "a\0b")
    trial.send([broken, refused, trial.decision(3, "good")])
    trial.wait_for(1)
    assert [row["transaction_id"] for row in trial.rows("SELECT transaction_id FROM decisions")] == ["good"]
    until(lambda: "left out" in trial.said() and "bad_magic" in trial.said(), "both are told")


def test_postgres_away_is_waited_for(trial: AlertsTrial, stack: Home) -> None:
    """While PostgreSQL is stopped the sink waits; what came meanwhile is there afterwards, and it was not restarted."""
    sink = trial.sink()
    trial.send([trial.decision(1, "before")])
    trial.wait_for(1)
    supervise.stop_service(stack, "postgres")
    try:
        trial.send([trial.decision(2, "meanwhile")])
        until(lambda: "waiting:" in trial.said(), "the sink says that it waits")
    finally:
        supervise.start_service(stack, "postgres")
    wait_until(lambda: why_not("postgres", required(stack)) is None, "PostgreSQL answers again")
    trial.wait_for(2)
    assert sink.child is not None
    assert sink.child.poll() is None
