"""A decision is made again from its record alone, to the bit; whatever was changed since is found and named."""

import json
import math
from datetime import date
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

import features
from contracts import schemas, wire
from errors import InputError, ModelError, RejectedError, UnreachableError
from features import FeatureVector, Profile, Status
from scoring import manifest as manifests
from scoring.notes import Note, NoteKind
from serving import __main__ as commands
from serving.decide.decision import InUse, Known, decide
from serving.decide.record import RUNTIME
from serving.decide.stages import Clock
from serving.models import archive
from serving.models.cache import Kept, store
from serving.records import find as recorded
from serving.records import reproduce
from serving.stream.intake import Arrival
from streaming import columns
from tests import decisions, tiny_model
from tests.unit.rule_files import rule as rule_of
from tests.unit.rule_files import ruleset

NOW_US = 1_795_000_000_500_000
ABSENT = Profile(Status.ABSENT)
AMOUNT = features.NAMES.index("amount")
FILES = tiny_model.files(0)  # by seed, as model() asks for it: another call would train again, to other bytes
SHA = manifests.sha256(FILES[manifests.MANIFEST_FILE])
VERSION = SimpleNamespace(name=manifests.REGISTERED_NAME, number=1)


def writer(_schema_id):
    return schemas.parsed("transaction")


def models(_version, _sha256):
    return tiny_model.model(), "MLflow"


def vectors(count):
    """Return vectors as they are built: float64 that no float32 holds, a third of them missing."""
    random = np.random.default_rng(3)
    rows = np.round(random.lognormal(3, 2, (count, len(features.NAMES))), 2)
    rows[:, [i for i, each in enumerate(features.FEATURES) if each.unit == "flag"]] = 1.0
    rows[random.random(rows.shape) < 1 / 3] = math.nan
    rows[:, AMOUNT] = np.round(random.lognormal(5, 2, count), 2)
    return [FeatureVector(tuple(row.tolist()), ABSENT, ABSENT, ABSENT, is_utc=True) for row in rows]


def arrival(number=0):
    value = decisions.payment(transaction_id=f"t{number}", event_time=1_795_000_000_000_001)
    return Arrival(0, number, 0, value, wire.decode(value, writer, "transaction")[1])


def records(count=1, rules=None, notes=(), **changes):
    """Return records as the stream makes them, decided in one batch."""
    found = decide(
        [arrival(number).subject("topic") for number in range(count)],
        [Known(vector, notes) for vector in vectors(count)],
        InUse(tiny_model.model(), None, rules),
        NOW_US,
        Clock(),
    )
    return [schemas.defaults("decision") | each.record | changes for each in found]


def reviewed():
    return next(record for record in records(50) if record["decision"] == "review")


def fallback(rules=None, **changes):
    subject, known = arrival().subject("topic"), Known(vectors(1)[0])
    (found,) = decide([subject], [known], InUse(None, None, rules), NOW_US, Clock())
    return schemas.defaults("decision") | found.record | changes


def judge(record, by=models, schema=writer, rules=None):
    return reproduce.judge(record, by, schema, rules=lambda _version: rules)


def flipped(record, bit):
    """Return the record with one bit of its amount in the vector flipped."""
    row = np.frombuffer(record["vector"], "<f4").copy()
    row.view("<u4")[AMOUNT] ^= 1 << bit
    return record | {"vector": row.tobytes()}


def in_mlflow(monkeypatch, files=FILES):
    monkeypatch.setattr(archive.mlflow, "by_number", lambda _name, _number: VERSION)
    monkeypatch.setattr(archive.mlflow, "download", lambda _version, name: files[name])


def away(*_):
    raise UnreachableError("mlflow does not answer")


def test_batch_is_made_again_one_by_one():
    """Payments decided together are identical made again alone: score, margin, decision and the words of reasons."""
    made = records(400)
    assert {record["decision"] for record in made} == {"approve", "review"}
    assert [judge(record).line for record in made if not judge(record).identical] == []
    assert judge(made[0]).line.endswith("by model 1 from MLflow: identical")


def test_changed_bit_of_the_vector_is_found():
    """One bit of the vector: the score's distance in ulps, and the feature whose two forms disagree."""
    record = reviewed()
    found = judge(flipped(record, 28))
    amount = np.frombuffer(record["vector"], "<f4")[AMOUNT]
    assert found.differences[0].startswith(f"score: {record['score']} then, ")
    assert found.differences[0].endswith(f" ({found.summary['ulps']} ulps)")
    assert found.summary["ulps"] > 0
    assert found.differences[-1].startswith(f"amount: {amount:.9g} in features, ")
    assert "the record was changed" in found.line


def test_lowest_bit_is_found_even_where_the_score_is_the_same():
    """A changed bit that moves no score is found by the readable form of the vector."""
    found = judge(flipped(reviewed(), 0))
    assert found.differences[-1].startswith("amount: ")
    assert not found.identical


@pytest.mark.parametrize(("runtime", "cause"), [("onnxruntime 1.2.3 aarch64", "1.2.3 aarch64"), (None, "unexplained")])
def test_other_score_by_one_ulp_has_a_cause(runtime, cause):
    """A score one ulp off is told as such: another runtime is named with ours, by the same one it is unexplained."""
    record = reviewed()
    near = float(np.nextafter(np.float32(record["score"]), np.float32(0)))
    found = judge(record | {"score": near, "runtime": runtime or RUNTIME})
    assert found.differences == (f"score: {near} then, {record['score']} now (1 ulp)",)
    assert cause in found.cause
    assert runtime is None or RUNTIME in found.cause


def test_other_runtime_with_the_same_bits_is_identical():
    """Another machine that gives the same bits is no difference."""
    assert judge(reviewed() | {"runtime": "onnxruntime 1.2.3 aarch64"}).identical


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", 0.25), ("decision", "approve"), ("reasons", "[]"), ("margin", 0.0)]
)
def test_each_part_is_compared(name, value):
    """Threshold, decision, reasons and margin are each compared by themselves."""
    found = judge(reviewed() | {name: value})
    assert [each.split(":")[0] for each in found.differences] == [name]


def test_fallback_approves_with_a_whole_vector():
    """Without a model a decision is identical if it approved, has no score and its vector is whole."""
    assert judge(fallback(), by=away).identical
    assert "decision: review then, approve now" in judge(fallback(decision="review")).line
    assert "score: 0.5 without a model" in judge(fallback(score=0.5)).line
    assert "vector: 4 bytes" in judge(fallback(vector=b"1234")).line


RULES = ruleset(
    rule_of("large", "amount > 400", action="block", priority=1),
    rule_of("middle", "amount > 200"),
    rule_of("zero", "amount / (amount - amount) > 1"),
    rule_of("tried", "true", shadow=True),
    control={"share": 0.5, "seed": "x", "most": 1e9},
)
TRAVELS = (Note(NoteKind.TRAVEL, NOW_US + 5, frozenset({"middle", "amount", "time_of_day"})),)


def test_decisions_with_rules_are_made_again():
    """With hits, control, failed rules and a note's suppression, every decision comes out the same, by its rules."""
    made = records(400, RULES, TRAVELS)
    assert {record["decided_by"] for record in made} == {"model", "rule", "control"}
    assert any(json.loads(record["rules"])["suppressed"] for record in made)
    assert [found.line for record in made if not (found := judge(record, rules=RULES)).identical] == []
    assert judge(fallback(RULES), rules=RULES).identical


def test_other_rules_notes_or_times_are_found():
    """Rules that are not those of the record, a hit or a note that was changed: each is named."""
    made = records(400, RULES, TRAVELS)
    blocked = next(record for record in made if record["decision"] == "block")
    found = judge(blocked, rules=ruleset(rule_of("middle", "amount > 200")))
    assert {each.split(":")[0] for each in found.differences} >= {"decision", "reasons", "rules"}
    assert "rules: None then, " in judge(blocked | {"rules": None}, rules=RULES).line
    kept = next(record for record in made if json.loads(record["rules"])["suppressed"])
    changed = json.loads(kept["rules"]) | {"notes": []}
    assert not judge(kept | {"rules": json.dumps(changed)}, rules=RULES).identical


def test_rules_that_are_not_archived_are_told(monkeypatch, tmp_path):
    """A version that this machine does not have is named with where it was looked for."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    line = reproduce.judge(records(1, RULES)[0], models, writer).line
    assert f"not ruled: rules of version {RULES.version} are not archived in {tmp_path}" in line


def test_vector_of_another_length_is_not_scored():
    """A vector that is cut is named with both lengths."""
    found = judge(reviewed() | {"vector": b"\0" * 8})
    assert (found.scored, found.identical) == (None, False)
    assert "vector: 8 bytes" in found.line


def test_other_schema_hash_is_told_with_both():
    """A record of other features names both hashes; a model that loads still scores its vector."""
    found = judge(reviewed() | {"schema_hash": "ab" * 32})
    assert found.differences == (f"schema_hash: {'ab' * 32} in the record, {features.SCHEMA_HASH} is this program's",)
    assert found.scored


def test_model_of_other_features_is_refused_with_both_hashes(monkeypatch):
    """A model trained on other features is not used, and the line names both schema hashes."""
    manifest = json.dumps(json.loads(FILES[manifests.MANIFEST_FILE]) | {"schema_hash": "ab" * 32}).encode()
    in_mlflow(monkeypatch, FILES | {manifests.MANIFEST_FILE: manifest})
    found = judge(reviewed() | {"model_sha256": manifests.sha256(manifest)}, by=archive.archived)
    assert "not scored" in found.line
    assert "ab" * 32 in found.line
    assert features.SCHEMA_HASH in found.line


def test_archived_model_is_verified(monkeypatch):
    """The files of MLflow are used only under the record's SHA-256; another is refused with both, as is a lost file."""
    in_mlflow(monkeypatch)
    assert judge(reviewed(), by=archive.archived).identical
    found = judge(reviewed() | {"model_sha256": "cd" * 32}, by=archive.archived)
    assert f"SHA-256 {SHA}, the record says {'cd' * 32}" in found.line
    in_mlflow(monkeypatch, FILES | {manifests.TEXT_FILE: b"another"})
    assert "model.txt has SHA-256" in judge(reviewed(), by=archive.archived).line
    monkeypatch.setattr(archive.mlflow, "by_number", lambda _name, _number: None)
    with pytest.raises(ModelError, match="no version 1"):
        archive.archived("1", SHA)


def test_cache_serves_while_mlflow_is_away(monkeypatch, tmp_path):
    """While MLflow is away a scorer's kept files are used if theirs is the SHA-256, else both places are named."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.setattr(archive.mlflow, "by_number", away)
    found = judge(reviewed(), by=archive.archived)
    assert "mlflow does not answer" in found.line
    assert str(tmp_path / "cache") in found.line
    store(tmp_path / "cache" / "scorer", Kept("1", SHA, FILES))
    found = judge(reviewed(), by=archive.archived)
    assert (found.identical, found.origin) == (True, "cache/scorer")
    assert not judge(reviewed() | {"model_sha256": "cd" * 32}, by=archive.archived).identical


def test_payment_agrees_with_the_record(monkeypatch):
    """The payment's bytes are decoded and compared; a registry that is away leaves that unchecked, and it is said."""
    assert "card_id: other in the record" in judge(reviewed() | {"card_id": "other"}).line
    assert "payment: truncated" in judge(reviewed() | {"payment": b"\0\0\0\0\1a"}).line

    def gone(_schema_id):
        raise UnreachableError("registry does not answer")

    def unknown(schema_id):
        raise RejectedError("unknown_schema_id", f"no schema {schema_id}")

    found = judge(reviewed(), schema=gone)
    assert found.identical
    assert found.line.endswith("identical; not checked: its payment: registry does not answer")
    assert "unknown_schema_id" in judge(reviewed(), schema=unknown).line


def test_repeats_are_shown_once_with_a_count():
    """A decision recorded twice is one with a count, at its newest; one made again otherwise is another."""
    (one,) = records()
    later = one | {"decided_at": one["decided_at"] + 5, "stages_us": '{"batch": 2}'}
    other = fallback(decided_at=one["decided_at"] + 1)
    found = recorded.distinct([later, other, one])
    assert found == [(other, 1), (later, 2)]
    assert ", recorded 2 times: identical" in reproduce.judge(later, models, writer, 2).line


@pytest.fixture
def bronze(tmp_path):
    """Return a decisions table as Spark lays it out: three payments of two days, one of them of two sources."""
    rows = [*records(3), records(1, source="other")[0] | {"payment_partition": 1}]
    batch = {"ingested_date": date(2026, 11, 21)}
    for part in (rows[:2], rows[2:]):
        made = [dict.fromkeys(columns.bronze_schema("decisions").names) | row | batch for row in part]
        write_deltalake(
            tmp_path / "decisions",
            pa.Table.from_pylist(made, columns.bronze_schema("decisions")),
            partition_by=[columns.PARTITION],
            mode="append",
        )
        batch = {"ingested_date": date(2026, 11, 22)}
    return DeltaTable(tmp_path / "decisions")


def test_records_are_found_whole_by_id_and_source(bronze):
    """Each record of an id comes back as it was made, times in microseconds; a source narrows it."""
    made = records(3)
    (found,) = recorded.find(bronze, "t2")
    assert found == made[2] | {name: found[name] for name in ("decided_at", "stages_us")}
    assert judge(found).identical
    assert {each["source"] for each in recorded.find(bronze, "t0")} == {"test", "other"}
    assert [each["source"] for each in recorded.find(bronze, "t0", "other")] == ["other"]
    assert recorded.find(bronze, "t9") == []


def test_command_says_what_it_found(bronze, monkeypatch, tmp_path):
    """Exit code 0 and JSON when all are identical, 1 when one is not; an unknown id says where it was looked for."""
    monkeypatch.setattr(reproduce.reading, "open_table", lambda _table: bronze)
    monkeypatch.setattr(reproduce.registry, "writers", lambda: writer)
    in_mlflow(monkeypatch)
    out = tmp_path / "found.json"
    done = CliRunner().invoke(commands.app, ["reproduce", "t2", "--json", str(out)])
    assert done.exit_code == 0, done.output
    (found,) = orjson.loads(out.read_bytes())
    assert (found["identical"], found["ulps"], found["score"]) == (True, 0, found["score_here"])
    done = CliRunner().invoke(commands.app, ["reproduce", "t0"])  # of `other`, its payment is of `test`
    assert done.exit_code == 1
    assert "source: other in the record, test in its payment" in done.output
    with pytest.raises(InputError, match=r"t9 of source test in bronze\.decisions .*seconds after"):
        reproduce.run("t9", "test")
