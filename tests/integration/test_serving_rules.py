"""Rules, lists and notes on a real Kafka and Redis, in the stream and in /predict, changed while they run."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from contracts import schemas
from contracts.identity import keyed_hash
from features import SECOND_US
from infra.native import stackenv
from infra.native.paths import current_home
from scoring.notes import Note, NoteKind
from scoring.rules import RuleSet
from serving.online import notes
from serving.policy import lists as listing
from serving.policy import topic as policy
from serving.policy.lists import Put
from serving.policy.records import Action, Change, Record, Text
from serving.records import reproduce
from settings import PROJECT_DIR, settings
from tests import tiny_model
from tests.integration.stream_trial import Trial, payments
from tests.scorer_process import HASH_KEY, Scorer, Valkey, body, give_policy, published, until
from tests.unit.rule_files import rule, whole

BLOCKED = f"{1:064x}"
"""A card that the deny list will name."""
NOTED = f"{2:064x}"
WHOLE = whole(
    {
        "rules": [
            rule("divides", "amount_minor / (amount_minor - amount_minor) > 1", action="block", priority=1),
            rule("large", "amount_minor > 60000", action="step_up", priority=2),
            rule("middle", "amount_minor > 30000"),
            rule("tried", "amount_minor > 0", action="block", shadow=True),
        ]
    }
)
MISSPELT = WHOLE.replace("amount_minor > 60000", "amuont > 60000")
LATER_US = time.time_ns() // 1_000 + 3_600 * SECOND_US


def version(rules: str) -> str:
    return RuleSet.read(rules).version


def denied(card: str) -> Put:
    return listing.add(listing.place("deny", "card", card), "stolen", "2099-01-01", "tests", 0)


def misspelt() -> list[Record]:
    """Return rules put in force past all checks, by a program that knows other features."""
    bad = Text("ab" * 32, MISSPELT)
    return [bad, Change(time.time_ns() // 1_000, Action.PUBLISH, bad.version, "a stranger")]


@pytest.fixture
def trial(stack, tmp_path):
    """Topics and a Redis of the test's own, with rules in force from the start."""
    made = Trial(tmp_path)
    policy.write(published(WHOLE), f"{made.namespace}.policy")
    yield made
    made.end()


def said_by(trial, word):
    """Return what the stream's status says under a name, None before it has said anything."""
    file = trial.home / "status" / "stream.json"
    return json.loads(file.read_text()).get(word) if file.exists() else None


def again(trial, record):
    """Make a decision of the trial again, with the rules that its stream archived."""
    schema = schemas.parsed("transaction")
    rules = trial.home / "rules" / f"{record['rules_version']}.json"
    return reproduce.judge(
        record,
        lambda *_: (tiny_model.model(), "cache"),
        lambda _: schema,
        rules=lambda _: RuleSet.restore(rules.read_bytes()),
    )


def test_the_stream_decides_by_rules_and_takes_new_ones_as_it_runs(trial):
    """Rules, an entry added meanwhile, a bad version refused, all through a restart; a note; all made again."""
    topic = f"{trial.namespace}.policy"
    notes.put(trial.valkey.client(), NOTED, Note(NoteKind.TRAVEL, LATER_US))
    records = payments(900)
    process = trial.start()
    trial.send(records[:300])
    trial.wait_until_whole()
    first = [record for each in trial.decided().values() for record in each]
    assert said_by(trial, "rules") == version(WHOLE)

    policy.write([denied(BLOCKED)], topic)
    until(lambda: (said_by(trial, "policy") or {}).get("entries") == 1, f"the entry is in force; {trial.said()}", 30)
    policy.write(misspelt(), topic)
    until(lambda: said_by(trial, "rules_refused"), f"the bad version is refused; {trial.said()}", 30)
    trial.send(records[300:600])
    trial.wait_until_whole()
    process.kill()
    trial.start()
    trial.send(records[600:])
    trial.wait_until_whole()
    assert "amuont is neither" in said_by(trial, "rules_refused")
    found = [record for each in trial.decided().values() for record in each]
    assert {record["rules_version"] for record in found} == {version(WHOLE)}

    second = [record for record in found if record not in first]
    blocked = [record for record in second if record["card_id"] == BLOCKED]
    assert {(record["decision"], record["decided_by"]) for record in blocked} == {("block", "rule")}
    assert json.loads(blocked[0]["reasons"])[0]["code"] == "deny_list"
    assert not any(record["decision"] == "block" for record in found if record not in blocked)
    said = [json.loads(record["rules"]) for record in found]
    assert all(each["failed"] == ["divides"] for each in said)
    hits = {(hit["name"], hit["shadow"]) for each in said for hit in each["hits"]}
    assert hits == {("tried", True), ("large", False), ("middle", False)}
    stepped = [record for record in found if record["decision"] == "step_up"]
    assert stepped
    assert {json.loads(record["rules"])["acted"] for record in stepped} == {"large"}

    noted = [record for record in found if record["card_id"] == NOTED]
    assert "review" not in {record["decision"] for record in noted}
    kept = [record for record in noted if json.loads(record["rules"])["suppressed"]]
    assert kept
    assert {record["decision"] for record in kept} == {"approve"}
    assert json.loads(kept[0]["rules"])["notes"][0]["kind"] == "travel"
    assert "review" in {record["decision"] for record in found}

    alerts = trial.decided(trial.alerts)
    assert sum(map(len, alerts.values())) == sum(record["decision"] != "approve" for record in found)
    assert [verdict.line for record in found if not (verdict := again(trial, record)).identical] == []


@pytest.fixture
def scorer(trial, tmp_path):
    """A scorer that follows the trial's policy."""
    kafka = {"KAFKA_BOOTSTRAP": settings().kafka_bootstrap, "SERVING_NAMESPACE": trial.namespace}
    process = Scorer.at(tmp_path / "scorer", trial.valkey.url, **kafka)
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()


def ready(client):
    return client.get("/health/ready").json()["rules"]


def test_predict_answers_by_rules_and_takes_new_ones_as_it_runs(trial, scorer):
    """The answer names rules, who decided and the version; entries count at once, a bad version is refused."""
    topic = f"{trial.namespace}.policy"
    card = keyed_hash(bytes.fromhex(HASH_KEY), "4111 1111 1111 1111")

    def ask(number, **changes):
        with scorer.client() as client:
            answer = client.post("/predict", content=body(number, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    with scorer.client() as client:
        found = ask(1, amount="700.00")
        assert (found["decision"], found["decided_by"], found["rules_version"]) == ("step_up", "rule", version(WHOLE))
        assert found["reasons"][0] == {"code": "large", "text": "a rule of the tests", "weight": None}
        assert (found["rules"]["acted"], found["rules"]["failed"]) == ("large", ["divides"])

        assert (ask(2, amount="400.00")["decision"], ask(3, amount="1.00")["decided_by"]) == ("review", "model")
        notes.put(trial.valkey.client(), card, Note(NoteKind.CLEARED, LATER_US))
        suppressed = ask(4, amount="400.00")
        assert suppressed["decision"] == "approve"
        assert "middle" in suppressed["rules"]["suppressed"]
        assert ask(5, amount="700.00")["decision"] == "step_up"
        unpriced = ask(8, amount="700.00", currency="SEK")
        assert unpriced["degraded_groups"][-1]["status"] == "unpriced"

        policy.write([denied(card)], topic)
        until(lambda: ready(client)["entries"], "the entry is in force", 30)
        assert ask(6, amount="1.00")["decision"] == "block"
        policy.write(misspelt(), topic)
        until(lambda: ready(client)["refused"], "the bad version is refused", 30)
        metrics = scorer.metrics()
        assert "fraud_rules_refused_now 1.0" in metrics
        assert 'fraud_rule_hits_total{action="block",shadow="True"}' in metrics
        assert not any(name in metrics for name in ("divides", "tried", "middle"))
    scorer.kill()
    scorer.environment["KAFKA_BOOTSTRAP"] = "127.0.0.1:9"  # type: ignore[index]  # a dict of the test's own
    scorer.start_ready()
    with scorer.client() as client:
        assert ready(client)["version"] == version(WHOLE)
        assert "amuont is neither" in ready(client)["refused"]
    assert ask(7, amount="1.00")["decision"] == "block"


def test_rules_that_are_not_in_force_are_not_ready(trial, tmp_path):
    """With nothing but a version that cannot be used, or nothing ever read, the scorer answers 503 and says why."""
    topic = f"{trial.namespace}.policy"
    process = Scorer.at(tmp_path / "scorer", trial.valkey.url, SERVING_NAMESPACE=trial.namespace)
    give_policy(process.home, "scorer", *misspelt(), topic=topic)
    process.cache_model()
    process.start()
    try:
        with process.client() as client:
            until(lambda: client.get("/health/ready").json().get("code") == "no_rules", "it is not ready", 30)
            assert "amuont is neither" in client.get("/health/ready").json()["detail"]
    finally:
        process.kill()


def run(trial, *arguments, **settings_):
    environment = {**os.environ, **stackenv.required(current_home()), "LAKEHOUSE_HOME": str(trial.home)}
    environment |= {"SERVING_NAMESPACE": trial.namespace, "REDIS_URL": trial.valkey.url, **settings_}
    command = [sys.executable, "-m", "serving", *arguments]
    return subprocess.run(command, env=environment, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)


def test_the_commands_publish_list_and_lift(trial, tmp_path):
    """Two persons, history, going back; entries added, imported, shown and removed; a lift, with who and why."""
    new = tmp_path / "new.yaml"
    new.write_text(WHOLE.replace("30000", "40000"))
    both = {"RULES_SECOND_PERSON": "true"}
    assert "second person" in run(trial, "rules", "publish", str(new), "--yes", **both).stderr
    assert run(trial, "rules", "propose", str(new), "--yes", "--by", "Ann", **both).returncode == 0
    start = version(new.read_text())[:12]
    assert "another person" in run(trial, "rules", "approve", start, "--by", "ann", **both).stderr
    assert run(trial, "rules", "approve", start, "--by", "Bob", **both).returncode == 0
    assert run(trial, "rules", "rollback", version(WHOLE)[:12], "--by", "Ann").returncode == 0
    history = run(trial, "rules", "history").stdout.splitlines()
    assert [line.split()[1] for line in history] == ["publish", "propose", "approve", "rollback"]
    assert history[2].endswith(f"{start} by Bob: ~middle")
    assert f"version {version(WHOLE)}, rollback by Ann" in run(trial, "rules", "show").stdout

    add = ("lists", "add", "deny", "card", BLOCKED, "--until", "2099-01-01", "--reason", "stolen", "--by", "Ann")
    assert run(trial, *add).returncode == 0
    shown = run(trial, "lists", "show").stdout
    assert f"deny,card,{BLOCKED},stolen,2099-01-01T00:00:00+00:00,Ann," in shown
    assert run(trial, "lists", "remove", "deny", "card", BLOCKED).returncode == 0
    assert "there is no card" in run(trial, "lists", "remove", "deny", "card", BLOCKED).stderr
    file = tmp_path / "lists.csv"
    file.write_text(shown)
    assert run(trial, "lists", "import", str(file), "--by", "Bob").returncode == 0
    assert ",Bob," in run(trial, "lists", "show").stdout

    end = datetime.fromtimestamp(LATER_US / 1e6, UTC).isoformat()
    lift = ("notes", "lift", BLOCKED, "--until", end, "--by", "Ann", "--reason", "the holder called")
    assert "is none of" in run(trial, *lift, "--rule", "place").stderr
    done = run(trial, *lift, "--rule", "large")
    assert "covers large; Ann: the holder called" in done.stdout, done.stderr
    assert notes.read(trial.valkey.client(), BLOCKED)[0].lifts("large")


def test_notes_are_kept_until_they_are_over(tmp_path):
    """Notes of a card add up, the same one again moves its end, and Redis forgets them when the last is over."""
    server = Valkey.at(tmp_path)
    server.start()
    try:
        client = server.client()
        travel = Note(NoteKind.TRAVEL, LATER_US, frozenset({"place"}))
        cleared = Note(NoteKind.CLEARED, LATER_US + 5_000)
        notes.put(client, NOTED, travel)
        notes.put(client, NOTED, cleared)
        longer = Note(NoteKind.TRAVEL, LATER_US + 9_000_000, frozenset({"place"}))
        assert set(notes.put(client, NOTED, longer)) == {longer, cleared}
        assert set(notes.read(client, NOTED)) == {longer, cleared}
        assert abs(int(client.pexpiretime(notes.key(NOTED))) - longer.until_us // 1_000) <= 1
        soon = Note(NoteKind.TRAVEL, time.time_ns() // 1_000 + SECOND_US // 2)
        notes.put(client, BLOCKED, soon)
        until(lambda: client.get(notes.key(BLOCKED)) is None, "the note is gone", 10)
        for end in (0, LATER_US * 2):
            with pytest.raises(notes.InputError):
                notes.put(client, NOTED, Note(NoteKind.TRAVEL, end))
    finally:
        server.kill()
