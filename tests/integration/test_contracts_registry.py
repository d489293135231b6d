"""Our schemas on the real registry: registered once; a change that breaks older records is refused with its reason."""

import json
import subprocess
import sys

import httpx
import pytest

from clients import registry
from contracts import schemas
from contracts.topics import TOPICS, TRANSACTIONS
from errors import RejectedError, SchemaRefusedError, UnreachableError
from settings import PROJECT_DIR, settings

pytestmark = pytest.mark.usefixtures("stack")
Field = dict[str, object]


def changed(tmp_path, *, drop=(), add=(), **types):
    """Our transaction schema with fields dropped, added or of other types, as a file."""
    schema = json.loads(schemas.text("transaction"))
    fields = [f for f in schema["fields"] if f["name"] not in drop]
    schema["fields"] = [f | {"type": types.get(f["name"], f["type"])} for f in fields] + list(add)
    path = tmp_path / "changed.avsc"
    path.write_text(json.dumps(schema))
    return path


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "clients", *map(str, arguments)],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_registering_again_changes_nothing():
    """The same schemas keep their ids; each subject is the topic's."""
    ids = registry.register_all()
    assert ids == registry.register_all()
    assert set(ids) == {topic.subject for topic in TOPICS if topic.schema}
    assert registry.schema_id(TRANSACTIONS) == ids[TRANSACTIONS.subject]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"add": [{"name": "channel", "type": "string"}]}, "field channel"),
        ({"amount_minor": "string"}, "field amount_minor: .*STRING not compatible with writer type: LONG"),
        ({"source": "long"}, "field source: .*LONG not compatible with writer type: STRING"),
    ],
    ids=["required new field", "amount as text", "source as number"],
)
def test_an_incompatible_change_is_refused_with_the_registrys_reason(tmp_path, change, reason):
    """A change that could not read older records is refused, in code and by the command, and nothing is registered."""
    file = changed(tmp_path, **change)
    before = registry.schema_id(TRANSACTIONS)
    with pytest.raises(SchemaRefusedError, match=reason):
        registry.check(TRANSACTIONS.subject, file.read_text())
    with pytest.raises(SchemaRefusedError, match=reason):
        registry.register_text(TRANSACTIONS.subject, file.read_text())
    done = command("check", TRANSACTIONS.subject, file)
    assert done.returncode == 1
    assert "not BACKWARD compatible" in done.stderr
    assert registry.schema_id(TRANSACTIONS) == before


def test_the_registry_itself_refuses_past_our_check(tmp_path):
    """BACKWARD is set on the server: a client that skips our check is refused as well."""
    text = changed(tmp_path, amount_minor="string").read_text()
    url = f"{settings().registry_url}/subjects/{TRANSACTIONS.subject}/versions"
    assert httpx.post(url, json={"schema": text, "schemaType": "AVRO"}, timeout=10).status_code == 409


def test_what_is_no_schema_is_refused():
    """Text that is not Avro is refused as such, not taken for a server's fault."""
    with pytest.raises(SchemaRefusedError, match="not a usable Avro schema"):
        registry.register_text("registry-test.none-value", "{")


def test_a_compatible_change_passes(tmp_path):
    """A new field with a default, and a dropped one, may follow."""
    added = {"name": "loyalty", "type": ["null", "string"], "default": None}
    file = changed(tmp_path, drop=("device_id",), add=[added])
    done = command("check", TRANSACTIONS.subject, file)
    assert (done.returncode, done.stdout.strip()) == (0, f"{TRANSACTIONS.subject}: compatible")


def test_writers_are_found_by_id_and_strangers_are_not():
    """The writer's schema of a registered id is ours; an unknown id is a letter of its own code."""
    writer = registry.writers(TRANSACTIONS)
    assert writer(registry.schema_id(TRANSACTIONS)) == schemas.parsed("transaction")
    with pytest.raises(RejectedError) as caught:
        writer(0x7FFFFFF1)
    assert caught.value.code == "unknown_schema_id"


def test_other_subjects_are_strangers_and_cost_one_request(monkeypatch):
    """An id of another subject is refused; it and others like it that come together cost one list, not one a record."""
    text = json.dumps({"type": "record", "name": "Other", "fields": [{"name": "a", "type": "string"}]})
    other = registry.register_text("registry-test.other-value", text)
    writer = registry.writers(TRANSACTIONS)
    assert writer(registry.schema_id(TRANSACTIONS))
    asked = []
    send = registry._send
    monkeypatch.setattr(registry, "_send", lambda *arguments: asked.append(arguments) or send(*arguments))
    for identifier in [other, 0x7FFFFFF1] * 1_000:
        with pytest.raises(RejectedError, match=r"not registered under transactions\.raw-value"):
            writer(identifier)
    assert len(asked) <= 2


def test_compatibility_is_set_on_our_subjects_alone():
    """The registry's own setting is other teams' too, and stays; what is not decoded here is not registered."""
    url = settings().registry_url
    before = httpx.get(f"{url}/config", timeout=10).json()
    registry.register_all()
    assert httpx.get(f"{url}/config", timeout=10).json() == before
    assert "BACKWARD" in httpx.get(f"{url}/config/{TRANSACTIONS.subject}", timeout=10).text
    schema = json.loads(schemas.text("transaction"))
    schema["fields"].append({"name": "items", "type": {"type": "array", "items": "string"}, "default": []})
    with pytest.raises(SchemaRefusedError, match="field items is of array"):
        registry.check(TRANSACTIONS.subject, json.dumps(schema))


def test_a_registry_that_is_gone_is_unreachable_not_a_bad_record(monkeypatch):
    """When the registry does not answer nobody can say that a record is bad: another error, naming the address."""
    gone = settings().model_copy(update={"registry_url": "http://127.0.0.1:9/apis/ccompat/v7"})
    monkeypatch.setattr(registry, "settings", lambda: gone)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        registry.writers()(1)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        registry.check(TRANSACTIONS.subject, schemas.text("transaction"))
