"""Rules, lists and notes on a real Kafka and Redis, in the stream and in /predict, changed while they run."""

import json
import time
from pathlib import Path

import pytest

from contracts import schemas
from contracts.identity import keyed_hash
from features import SECOND_US
from scoring.notes import Note, NoteKind
from serving.online import notes
from serving.policy import in_force as inforce
from serving.records import reproduce
from tests import tiny_model
from tests.integration.stream_trial import Trial, payments
from tests.scorer_process import HASH_KEY, Scorer, Valkey, body, until
from tests.unit.rule_files import entry, rule, whole

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
DENIED = whole({"lists": [entry(value=BLOCKED)]})
LATER_US = time.time_ns() // 1_000 + 3_600 * SECOND_US


def version(rules: str, lists: str | None = None) -> str:
    return inforce.RuleSet.read(rules, lists).version


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


@pytest.fixture
def trial(stack, tmp_path):
    """Topics and a Redis of the test's own, with rules in force from the start."""
    made = Trial(tmp_path)
    put(made.home, "rules.yaml", WHOLE)
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
        rules=lambda _: inforce.RuleSet.restore(rules.read_bytes()),
    )


def test_the_stream_decides_by_rules_and_takes_new_ones_as_it_runs(trial):
    """Rules, a deny list added meanwhile, a half-written file refused; a note's suppression; all made again."""
    notes.put(trial.valkey.client(), NOTED, Note(NoteKind.TRAVEL, LATER_US))
    records = payments(900)
    trial.start()
    trial.send(records[:300])
    trial.wait_until_whole()
    first = [record for each in trial.decided().values() for record in each]
    assert {record["rules_version"] for record in first} == {version(WHOLE)}
    assert said_by(trial, "rules") == version(WHOLE)

    put(trial.home, "lists.yaml", DENIED)
    until(lambda: said_by(trial, "rules") == version(WHOLE, DENIED), f"the list is in force; {trial.said()}", 30)
    put(trial.home, "rules.yaml", WHOLE[: len(WHOLE) // 2])
    until(lambda: said_by(trial, "rules_refused"), f"the half file is refused; {trial.said()}", 30)
    trial.send(records[300:])
    trial.wait_until_whole()
    found = [record for each in trial.decided().values() for record in each]
    second = [record for record in found if record["rules_version"] == version(WHOLE, DENIED)]
    assert len(first) + len(second) == len(found)

    denied = [record for record in second if record["card_id"] == BLOCKED]
    assert {(record["decision"], record["decided_by"]) for record in denied} == {("block", "rule")}
    assert json.loads(denied[0]["reasons"])[0]["code"] == "deny_list"
    assert not any(record["decision"] == "block" for record in found if record not in denied)
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
def scorer(tmp_path):
    """A scorer with rules, and a Redis of its own."""
    server = Valkey.at(tmp_path)
    server.start()
    process = Scorer.at(tmp_path / "home", server.url)
    put(process.home, "rules.yaml", WHOLE)
    process.cache_model()
    process.start_ready()
    yield process, server
    process.kill()
    server.kill()


def ready(client):
    return client.get("/health/ready").json()["rules"]


def test_predict_answers_by_rules_and_takes_new_ones_as_it_runs(scorer):
    """The answer names rules, who decided and the version; new lists count, a bad file is refused and shown."""
    process, valkey = scorer
    card = keyed_hash(bytes.fromhex(HASH_KEY), "4111 1111 1111 1111")
    with process.client() as client:

        def ask(number, **changes):
            answer = client.post("/predict", content=body(number, **changes))
            assert answer.status_code == 200, answer.text
            return answer.json()

        found = ask(1, amount="700.00")
        assert (found["decision"], found["decided_by"], found["rules_version"]) == ("step_up", "rule", version(WHOLE))
        assert found["reasons"][0] == {"code": "large", "text": "a rule of the tests", "weight": None}
        assert (found["rules"]["acted"], found["rules"]["failed"]) == ("large", ["divides"])

        assert (ask(2, amount="400.00")["decision"], ask(3, amount="1.00")["decided_by"]) == ("review", "model")
        notes.put(valkey.client(), card, Note(NoteKind.CLEARED, LATER_US))
        suppressed = ask(4, amount="400.00")
        assert suppressed["decision"] == "approve"
        assert "middle" in suppressed["rules"]["suppressed"]
        assert ask(5, amount="700.00")["decision"] == "step_up"

        put(process.home, "lists.yaml", whole({"lists": [entry(value=card)]}))
        until(lambda: ready(client)["version"] != version(WHOLE), "the list is in force", 30)
        assert ask(6, amount="1.00")["decision"] == "block"
        put(process.home, "rules.yaml", WHOLE.replace("amount_minor > 60000", "amuont > 60000"))
        until(lambda: ready(client)["refused"], "the bad file is refused", 30)
        assert "amuont is neither" in ready(client)["refused"]
        assert ask(7, amount="1.00")["decision"] == "block"
        metrics = process.metrics()
        assert "fraud_rules_file_bad 1.0" in metrics
        assert 'fraud_rule_failures_total{rule="divides"}' in metrics
        assert 'fraud_rule_hits_total{rule="tried",shadow="True"}' in metrics


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
