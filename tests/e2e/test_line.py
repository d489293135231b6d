"""From nothing to a decision: the tour's page balances, and what it shows can be had by anybody's own hand."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from clients import trino
from infra.native.stackenv import exports, required
from settings import PROJECT_DIR, settings
from tests.conftest import wait_until
from tests.e2e.conftest import balance, python

LANDED_WITHIN_S = 120
AT_ITS_PAYMENT = """d.payment_partition = p.source_partition AND d.payment_offset = p.source_offset
    AND d.source = p.source AND d.transaction_id = p.transaction_id AND d.card_id = p.card_id"""
ORPHANS = f"""SELECT count(*) FROM bronze.decisions AS d
    WHERE d.origin = 'stream' AND NOT EXISTS (SELECT 1 FROM bronze.transactions AS p WHERE {AT_ITS_PAYMENT})"""
# An hour less than the stream's 48: Trino rounds to milliseconds what lies on the border.
UNDECIDED = f"""SELECT count(*) FROM bronze.transactions AS p
    WHERE p.message_type NOT IN ('refund', 'reversal') AND p.kafka_timestamp <= p.event_time + INTERVAL '47' HOUR
    AND NOT EXISTS (SELECT 1 FROM bronze.decisions AS d WHERE {AT_ITS_PAYMENT})
    AND NOT EXISTS (SELECT 1 FROM bronze.decisions AS d
        WHERE d.origin = 'api' AND d.source = p.source AND d.transaction_id = p.transaction_id)"""


def test_every_count_balances(line):
    """What was sent is acknowledged, and every acknowledged offset is a Bronze row or a dead letter, once."""
    found = line["balance"]
    assert found["balances"], found["problems"]
    assert found["acknowledged"] == found["bronze"] + found["dead_letters"] + found["nobodys"]
    decided = found["decided"]
    assert found["bronze"] == decided["decided"] + sum(decided["set_aside"].values())
    assert found["bronze"] == found["silver"] + found["repeats"] + found["conflicts"]
    sent = sum(report["topics"]["transactions.raw"]["acknowledged"] for report in line["sent"])
    assert found["acknowledged"] >= sent > 5_000


def test_dead_letters_are_those_that_the_simulator_broke(line):
    """Each bad record that the live traffic sent became the dead letter that its fault calls for."""
    expected = line["sent"][-1]["expected_dead_letters"]
    assert expected
    for code, count in expected.items():
        assert line["balance"]["letters_by_code"][code] >= count


def test_decisions_balance_on_the_page(line):
    """Every decision that Kafka acknowledged stands in Bronze once; none is a dead letter."""
    decisions = line["balance"]["decisions"]
    assert decisions["problems"] == []
    assert decisions["dead_letters"] == 0
    assert decisions["acknowledged"] == decisions["bronze"] >= line["live"]["all"]["decided"] > 0


def test_what_predict_answered_is_in_the_lake_and_is_made_again(line):
    """The page counts the decisions of /predict among Bronze's, and the one that it shows is identical from there."""
    found = line["reproduced"]
    assert found["identical"]
    assert found["answered"] > line["load"]["requests"] - line["load"]["failed"] > 0
    assert found["decision_id"] == line["decision"]["answer"]["decision_id"]


@pytest.mark.usefixtures("line")
def test_payments_and_decisions_meet_in_bronze():
    """Each decision names a payment that stands in Bronze, and each payment on which one is due has one."""
    wait_until(_decisions_landed, "every acknowledged decision is in Bronze", LANDED_WITHIN_S, 3.0)
    found = balance()["decisions"]
    assert trino.query("SELECT count(*) FROM bronze.decisions")[0][0] == found["acknowledged"] > 0
    assert trino.query(ORPHANS)[0][0] == 0
    assert trino.query(UNDECIDED)[0][0] == 0


def test_live_payments_are_decided_while_they_come(line):
    """The page has a line for each second or few of the live traffic, and nearly all of it is decided there."""
    live, sent = line["live"], line["sent"][-1]["topics"]["transactions.raw"]["acknowledged"]
    assert live["why"] is None
    assert 0 < len(live["lines"]) <= 15
    assert sum(each["decided"] for each in live["lines"]) == live["all"]["decided"]
    # Bad records, refunds, reversals and payments of two days ago have no decision.
    assert 0.9 * sent < live["all"]["decided"] < sent
    assert 0 <= live["all"]["p50_ms"] <= live["all"]["p99_ms"]


def _decisions_landed():
    found = balance()["decisions"]
    return found["bronze"] + found["dead_letters"] == found["acknowledged"]


def test_redis_holds_what_gold_holds(line):
    """Every entity's newest published profile is online."""
    assert line["online"]["equal"]
    assert line["online"]["card"]["redis"] > 0
    assert line["online"]["acceptor"]["redis"] > 0


def test_the_model_beats_the_trivial_baselines(line):
    """A model that does not beat the amount alone is not worth its servers."""
    models = {m["model"]: m["average_precision"] for m in line["model"]["sets"][0]["models"]}
    best = models.pop("lightgbm")
    assert best > max(models["prevalence"], models["amount"])


def test_the_decision_has_reasons(line):
    """A payment unlike its card's habits gets an undegraded answer with reasons in words."""
    answer = line["decision"]["answer"]
    assert not answer["degraded"]
    assert answer["reasons"], answer
    assert all(reason["text"] for reason in answer["reasons"])
    assert 0 <= answer["score"] <= 1


def test_time_travel_gives_two_counts(line):
    """The printed statement, pasted into a client, gives the count of then; without its clause, the count of now."""
    then = trino.query(line["travel"]["sql"])[0][0]
    now = trino.query(line["travel"]["now_sql"])[0][0]
    assert then == line["travel"]["then"]
    assert now >= line["travel"]["now"] > then > 0


def test_the_page_names_every_way_in(line):
    """The page tells where the API, the queries and the models are."""
    for address in (settings().api_url, settings().mlflow_tracking_uri, f":{settings().trino_port}/ui"):
        assert address in line["printed"]


@pytest.fixture
def analyst(stack):
    """Return a function that runs a command in dbt_project, in a shell that has only what `make env` gives."""
    given = dict(word.split("=", 1) for word in shlex.split(exports(required(stack))) if "=" in word)
    environment = {"HOME": os.environ["HOME"], "LANG": "C.UTF-8", **given}
    environment["PATH"] = f"{PROJECT_DIR / '.venv' / 'bin'}:{os.environ['PATH']}"

    def run(command, *arguments):
        program = shutil.which(command, path=environment["PATH"])
        assert program
        done = subprocess.run(
            [program, *arguments],
            cwd=PROJECT_DIR / "dbt_project",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    return run


@pytest.mark.usefixtures("line")
def test_an_analyst_builds_in_the_folder(analyst):
    """`dbt build` in dbt_project ends 0."""
    assert re.search(r"PASS=\d+ WARN=0 ERROR=0", analyst("dbt", "build"))


@pytest.mark.usefixtures("line")
def test_metrics_are_what_a_query_says(analyst, tmp_path):
    """`mf query` gives payments, approval rate and reviews by channel as Trino adds them up."""
    file = tmp_path / "metrics.csv"
    analyst("dbt", "parse")
    analyst(
        "mf",
        "query",
        "--metrics",
        "payments,approval_rate,review_load",
        "--group-by",
        "outcome__channel",
        "--csv",
        str(file),
    )
    with file.open() as opened:
        found = {row["outcome__channel"]: row for row in csv.DictReader(opened)}
    rows = trino.query("""SELECT channel, sum(payments), CAST(sum(approved) AS DOUBLE) / sum(payments), sum(reviews)
        FROM gold.decision_outcomes_daily GROUP BY 1""")
    assert found.keys() == {row[0] for row in rows}
    for channel, payments, rate, reviews in rows:
        assert int(float(found[channel]["payments"])) == payments
        assert float(found[channel]["approval_rate"]) == pytest.approx(rate, rel=1e-6)
        assert int(float(found[channel]["review_load"])) == reviews


@pytest.mark.usefixtures("line")
def test_a_lost_catalog_is_rebuilt_from_the_logs():
    """After every table is forgotten, `lake register` brings all of them back with the same counts."""
    before = balance()
    tables = [
        (schema, row[0]) for schema in ("bronze", "silver", "gold") for row in trino.query(f"SHOW TABLES FROM {schema}")
    ]
    views = {tuple(row) for row in trino.query("SELECT table_schema, table_name FROM information_schema.views")}
    for schema, name in tables:
        if (schema, name) in views:
            trino.query(f"DROP VIEW {schema}.{name}")
        else:
            trino.query(f"CALL delta.system.unregister_table('{schema}', '{name}')", admin=True)
    assert not any(trino.query(f"SHOW TABLES FROM {schema}") for schema in ("bronze", "silver", "gold"))
    done = python("lake", "register")
    assert done.returncode == 0, done.stderr
    back = {(s, row[0]) for s in ("bronze", "silver", "gold") for row in trino.query(f"SHOW TABLES FROM {s}")}
    assert back >= set(tables) - views
    assert balance() == before


@pytest.mark.usefixtures("line")
def test_no_card_number_anywhere_and_a_planted_one_is_found(stack):
    """The scanner finds nothing in storage, Kafka, Redis and logs; a number planted in a log is found."""
    clean = python("lake", "scan", timeout=600)
    assert clean.returncode == 0, clean.stdout[-3000:]
    planted = Path(stack.root) / "logs" / "planted.log"
    planted.write_text("a careless line: 4111 1111 1111 1111\n")
    try:
        found = python("lake", "scan", timeout=600)
    finally:
        planted.unlink()
    assert found.returncode == 1
    assert "planted.log:1" in found.stdout
    assert "4111" not in found.stdout


@pytest.mark.usefixtures("line")
def test_openapi_examples_work():
    """Every example of the OpenAPI page is answered with 200 by the running scorer."""
    described = httpx.get(f"{settings().api_url}/openapi.json", timeout=10).json()
    examples = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    headers = {"X-API-Key": settings().api_key.get_secret_value()}
    for name, example in examples.items():
        answer = httpx.post(f"{settings().api_url}/predict", json=example["value"], headers=headers, timeout=10)
        assert answer.status_code == 200, f"{name}: {answer.text}"


@pytest.mark.usefixtures("line")
def test_a_decision_is_made_again_to_the_bit():
    """A decision that the stream made is identical when it is made again from its record and the archive."""
    made = 0
    for action in ("review", "approve"):
        found = trino.query(
            "SELECT transaction_id, source FROM bronze.decisions "
            f"WHERE decided_by = 'model' AND decision = '{action}' LIMIT 1"
        )
        for transaction_id, source in found:
            done = python("serving", "reproduce", transaction_id, "--source", source)
            assert done.returncode == 0, done.stdout + done.stderr
            assert ": identical" in done.stdout
            assert "not checked" not in done.stdout
            made += 1
    assert made, "the stream decided nothing by a model"


@pytest.mark.usefixtures("line")
def test_serving_knew_what_the_lake_says_it_should_have_known(tmp_path):
    """Every feature of every decision is the lake's own to the bit, or a recorded fact says why it is not."""
    report = tmp_path / "parity.json"
    done = python("ml", "parity", "--json", str(report))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "0 unexplained" in done.stdout
    found = json.loads(report.read_text())
    assert found["unexplained"] == found["other_features"] == 0
    assert found["compared"] + found["waiting"] == found["decisions"] > 0
    assert found["compared"] > found["degraded"], "no decision had every group"


FRAUDS = """SELECT coalesce(sum(frauds), 0) FROM gold.fraud_metrics_daily
    WHERE source = ? AND event_day = (SELECT event_day FROM silver.transactions
        WHERE source = ? AND transaction_id = ?)"""
IN_SILVER = "SELECT 1 FROM silver.transactions WHERE source = ? AND transaction_id = ?"
LABELLED = "SELECT verdict, origin, decided_by FROM silver.labels WHERE source = ? AND transaction_id = ?"


@pytest.mark.usefixtures("line")
def test_an_investigators_verdict_reaches_gold():
    """A disposition of an alert of the live traffic is in bronze.labels, and in Gold after the next refresh."""
    known = settings()
    with httpx.Client(
        base_url=known.desk_url, headers={"X-API-Key": known.investigator_key.get_secret_value()}
    ) as client:
        alerts = client.get("/alerts/recent", params={"limit": 200}).json()["alerts"]
        place, name = next(
            (alert["source"], alert["transaction_id"])
            for alert in alerts
            if trino.query(IN_SILVER, (alert["source"], alert["transaction_id"]))
            and not trino.query(LABELLED, (alert["source"], alert["transaction_id"]))
        )
        before = trino.query(FRAUDS, (place, place, name))[0][0]
        said = {"verdict": "fraud", "note": "the holder has the card"}
        answer = client.post(f"/alerts/{name}/disposition", json=said | {"source": place})
    assert answer.status_code == 200, answer.text
    wait_until(
        lambda: (
            trino.query(
                "SELECT count(*) FROM bronze.labels WHERE transaction_id = ? AND origin = 'analyst' "
                "AND note = 'the holder has the card'",
                (name,),
            )[0][0]
            == 1
        ),
        "the label is in Bronze",
        LANDED_WITHIN_S,
        3.0,
    )
    done = python("infra.native", "refresh", "--once", timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]
    assert trino.query(LABELLED, (place, name)) == [("fraud", "analyst", "investigator")]
    assert trino.query(FRAUDS, (place, place, name))[0][0] >= before + 1


@pytest.mark.usefixtures("line")
def test_what_predict_answered_counts_in_gold():
    """The tour's own question to /predict, whose payment stands nowhere else, is among the outcomes of its day."""
    wait_until(_decisions_landed, "every acknowledged decision is in Bronze", LANDED_WITHIN_S, 3.0)
    done = python("infra.native", "refresh", "--once", timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]
    outcomes = trino.query("SELECT sum(payments), sum(amount) FROM gold.decision_outcomes_daily WHERE source = 'demo'")
    decided = trino.query("SELECT count(*), sum(amount) FROM silver.decisions WHERE source = 'demo' AND origin = 'api'")
    assert outcomes[0][0] == decided[0][0] == 1
    assert outcomes[0][1] == pytest.approx(decided[0][1], abs=0.005)
