"""Decisions from Kafka in PostgreSQL: each once, joined to alerts, whatever is killed meanwhile."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from clients import postgres
from contracts import schemas, wire
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.stackenv import required
from infra.native.state.asking import postgres_as_superuser
from infra.native.state.ready import why_not
from serving.desk.config import AlertsConfig
from serving.desk.sink.keeping import forget
from serving.desk.sink.migrate import FOLDER
from tests.conftest import wait_until
from tests.integration.alerts_trial import AlertsTrial, card_of
from tests.scorer_process import until

ALERTS = """SELECT card_id, opened_at, last_at, payments, amount, expected_loss, max_score, action, state FROM alerts
    ORDER BY card_id, opened_at"""

COUNTS = "SELECT action, sum(decided)::int AS decided FROM decision_counts GROUP BY action"


def status(trial: AlertsTrial) -> dict[str, Any]:
    """Return what the trial's sink says of itself."""
    try:
        said: dict[str, Any] = json.loads((trial.home / "status" / "alerts-sink.json").read_text())
    except FileNotFoundError:
        return {}
    return said


@contextmanager
def read_only(trial: AlertsTrial) -> Iterator[None]:
    """Make the whole of PostgreSQL refuse writes, living sessions too."""

    def change(*statements: str) -> None:
        with postgres_as_superuser(trial.env) as connection:
            connection.execute("SET default_transaction_read_only = off")
            for statement in (*statements, "SELECT pg_reload_conf()"):
                connection.execute(statement)

    change("ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        yield
    finally:
        change("ALTER SYSTEM RESET default_transaction_read_only")


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
        assert float(alert["expected_loss"]) == pytest.approx(sum(100 * r["score"] for r in own))


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
    assert str(second["expected_loss"]) == "120.00"
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


def test_what_is_wrong_with_a_decision_is_kept_and_tried_again(trial: AlertsTrial) -> None:
    """An unreadable payment, a NUL, a missing time: each is kept as refused, the others are stored; retry says why."""
    trial.sink()
    broken = trial.decision(1, "broken") | {"payment": b"no payment"}
    refused = trial.decision(2, "a\0b")
    early = trial.decision(4, "early") | {"decided_at": time.time_ns() // 1_000 + 700_000_000}
    trial.send([broken, refused, early, trial.decision(3, "good")])
    trial.wait_for(1)
    assert [row["transaction_id"] for row in trial.rows("SELECT transaction_id FROM decisions")] == ["good"]
    until(lambda: trial.count("refused_decisions") == 3, "three are refused")
    codes = {row["code"] for row in trial.rows("SELECT code FROM refused_decisions")}
    assert {"bad_magic_byte", "future_time"} < codes
    listed = trial.command("refused", "list")
    assert listed.returncode == 0, listed.stderr
    assert "3 refused decisions" in listed.stdout
    assert f"{trial.topic} 2 " in listed.stdout
    again = trial.command("refused", "retry")
    assert (again.returncode, "3 refused still" in again.stdout) == (1, True), again.stdout + again.stderr
    # What was wrong is mended: here, in the bytes that are kept.
    good = wire.encode(trial.decision(4, "mended"), schemas.parsed("decision"), trial.schema_id)
    with psycopg.connect(trial.url) as connection:
        connection.execute("UPDATE refused_decisions SET message = %s WHERE code = 'future_time'", (good,))
    again = trial.command("refused", "retry")
    assert "1 kept, 2 refused still" in again.stdout, again.stdout + again.stderr
    assert trial.rows("SELECT alert_id FROM decisions WHERE transaction_id = 'mended'")[0]["alert_id"] is not None
    assert trial.count("refused_decisions") == 2


def test_a_database_that_is_read_only_is_waited_for(trial: AlertsTrial) -> None:
    """As a managed PostgreSQL does when its disk is full: nothing is left out, the trouble has a name, it goes on."""
    sink = trial.sink()
    trial.send([trial.decision(1, "before")])
    trial.wait_for(1)
    with read_only(trial):
        trial.send([trial.decision(2, "meanwhile"), trial.decision(3, "meanwhile too")])
        until(lambda: "read-only transaction" in status(trial).get("trouble", ""), "it says why it waits", 60)
    trial.wait_for(3)
    assert trial.count("refused_decisions") == 0
    assert trial.count("alerts") == 3
    assert sink.child is not None
    assert sink.child.poll() is None


def test_redelivery_changes_nothing_that_stands(trial: AlertsTrial) -> None:
    """All again, in one batch and in another, also decided at another time: no alert, count, sum or verdict moves."""
    trial.sink()
    made = [trial.decision(1, f"r{n}", 100 - n, decision="approve" if n % 3 else "review") for n in range(30)]
    trial.send(made)
    trial.wait_for(30)
    with psycopg.connect(trial.url) as connection:
        connection.execute("UPDATE decisions SET verdict = 'fraud' WHERE alert_id IS NOT NULL")
        connection.execute("UPDATE alerts SET state = 'fraud'")
    everything = "SELECT * FROM alerts", "SELECT * FROM decisions ORDER BY decision_id", COUNTS
    stood = [trial.rows(each) for each in everything]
    later = [record | {"decided_at": record["decided_at"] + 90_000_000} for record in made]
    trial.send([*made, *later, trial.decision(2, "last", decision="approve")])
    trial.wait_for(31)
    assert trial.rows("SELECT * FROM alerts") == stood[0]
    assert [r for r in trial.rows(everything[1]) if r["transaction_id"] != "last"] == stood[1]
    counted = {row["action"]: row["decided"] for row in trial.rows(COUNTS)}
    assert counted == {"approve": 21, "review": 10}
    # The same payment sent a second time is another decision, and no news to who judged it.
    second = made[0] | {"payment_offset": trial.offset + 1}
    trial.send([second])
    trial.wait_for(32)
    assert (trial.rows("SELECT state, payments FROM alerts")) == [{"state": "fraud", "payments": 10}]
    trial.send([trial.decision(1, "news")])
    trial.wait_for(33)
    assert (trial.rows("SELECT state, payments FROM alerts")) == [{"state": "open", "payments": 11}]


def test_labels_that_cannot_be_sent_hold_up_no_alert(trial: AlertsTrial, stack: Home) -> None:
    """The registry is away and a verdict's label waits: new alerts come all the same, and the label when it is back."""
    trial.sink()
    trial.send([trial.decision(1, "judged")])
    trial.wait_for(1)
    supervise.stop_service(stack, "registry")
    try:
        with psycopg.connect(trial.url) as connection:
            connection.execute(
                """INSERT INTO dispositions (alert_id, verdict, by, known_at, payments) SELECT alert_id, 'fraud', 'j',
                    now() - interval '1 minute', '[{"source": "trial", "transaction_id": "judged"}]' FROM alerts"""
            )
        until(lambda: bool(status(trial).get("labels_waiting")), "it says that labels wait", 60)
        trial.send([trial.decision(2, "meanwhile")])
        trial.wait_for(2)
        assert trial.count("alerts") == 2
    finally:
        supervise.start_service(stack, "registry")
    wait_until(lambda: why_not("registry", required(stack)) is None, "the registry answers again")
    until(lambda: [label["transaction_id"] for label in trial.sent_labels()] == ["judged"], "the label is sent", 60)


def test_days_are_dropped_and_what_people_work_on_stays(trial: AlertsTrial) -> None:
    """A day that is over is dropped with its partition; payments in alerts, and judged ones, are there afterwards."""
    trial.sink()
    ago = 10 * 86_400
    trial.send(
        [
            trial.decision(1, "alerted", ago),
            trial.decision(1, "approved", ago, decision="approve"),
            trial.decision(2, "labelled", ago, decision="approve"),
            trial.decision(3, "today", decision="approve"),
        ]
    )
    trial.wait_for(4)
    bounds = AlertsConfig(decisions_days=5, alerts_days=100)
    with psycopg.connect(trial.url, row_factory=dict_row, options="-c timezone=UTC") as connection:
        connection.execute("UPDATE decisions SET verdict = 'fraud' WHERE transaction_id = 'labelled'")
        connection.commit()
        assert len(forget(connection, bounds)) == 1
    kept = "SELECT transaction_id FROM decisions ORDER BY transaction_id"
    assert [row["transaction_id"] for row in trial.rows(kept)] == ["alerted", "labelled", "today"]
    # A repeat of what stayed is still a repeat.
    trial.offset -= 4
    trial.send([trial.decision(9, "after")])
    until(lambda: any(row["transaction_id"] == "after" for row in trial.rows(kept)), "the sink goes on")


def test_rows_of_the_older_schema_are_moved(trial: AlertsTrial) -> None:
    """A database of before: its decisions, alerts and counts are there after the sink's start, amounts exact."""
    with psycopg.connect(trial.url, row_factory=dict_row) as connection:
        connection.execute("CREATE TABLE schema_version (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)")
        connection.execute((FOLDER / "001_alerts.sql").read_bytes())
        connection.execute("INSERT INTO schema_version VALUES (1, now())")
        connection.execute(
            """INSERT INTO alerts VALUES (nextval('alert_ids'), 'card', now(), now(), 'fraud', 'review', 2,
                2333.8199999999997, 1867.0559999999998, 0.8, nextval('changes'))"""
        )
        for offset, days in enumerate((0, 3, 200)):
            connection.execute(
                """INSERT INTO decisions SELECT 1, %(offset)s, 's', 't' || %(offset)s, 'card', at, at, 'review',
                    'model', 0.8, 0.5, 2333.8199999999997, 233382, 'USD', null, null, null, null, null, null,
                    false, '1', '[]',
                    1, 'fraud' FROM (SELECT now() - %(days)s * interval '1 day' AS at) AS made""",
                {"offset": offset, "days": days},
            )
    trial.sink()
    until(lambda: trial.count("decision_counts") == 3, "the sink has brought the schema up to date")
    found = trial.rows("SELECT decision_id, amount, verdict, alert_id FROM decisions ORDER BY decision_id")
    assert [row["decision_id"] for row in found] == ["1:0", "1:1", "1:2"]
    assert {(str(row["amount"]), row["verdict"], row["alert_id"]) for row in found} == {("2333.82", "fraud", 1)}
    alert = trial.rows("SELECT transaction_id, source, unpriced, state FROM alerts")
    assert alert == [{"transaction_id": "t2", "source": "s", "unpriced": 0, "state": "fraud"}]


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
