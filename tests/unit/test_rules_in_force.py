"""The files of the rules: taken whole, refused whole, replaced in one step, archived; lists; what is published."""

import logging

import orjson
import polars as pl
import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

import features
from contracts import schemas
from errors import InputError
from serving import __main__ as commands
from serving.policy import in_force as inforce
from serving.policy import lists as listing
from serving.policy import publish
from serving.policy.in_force import Files, InForce
from settings import PROJECT_DIR, settings
from tests import decisions
from tests.unit.rule_files import CARD, entry, rule, ruleset, whole

GOOD = whole({"rules": [rule()]})
OTHER = whole({"rules": [rule("another")]})


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files in a home of the test's own, in which no rules are yet."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    settings.cache_clear()
    yield inforce.files()
    settings.cache_clear()


@pytest.fixture
def watched(files):
    """Return the rules in force, looked at by hand: only the first reading was done."""
    files.rules.write_text(GOOD)
    found = InForce(files, 3_600)
    found.start()
    yield found
    found.stop()


def look(found):
    """Look twice: a change counts when it has stood for two looks."""
    found.poll()
    found.poll()


def test_rules_are_read_at_start_and_archived(watched):
    """The first version is in force at once, and can be had again by its SHA-256."""
    assert (watched.version, watched.refused) == (ruleset(rule()).version, None)
    assert inforce.archived(watched.version).canonical == watched.ruleset.canonical


def test_a_new_version_is_taken_once_it_has_stood(watched, files):
    """A change is not read at the first look, since somebody may still be writing, but at the next one."""
    files.rules.write_text(OTHER)
    watched.poll()
    assert watched.version == ruleset(rule()).version
    watched.poll()
    assert watched.version == ruleset(rule("another")).version
    files.lists.write_text(whole({"lists": [entry()]}))
    look(watched)
    assert watched.version == ruleset(rule("another"), lists=[entry()]).version


HALVES = ("", GOOD[:40], GOOD.removesuffix("...\n"), GOOD[: GOOD.index("sentence: a") + 12])
BAD = (*HALVES, GOOD.replace("amount", "amuont"), GOOD.replace("100", "true"), "\0", None)


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_refused_whole_and_told_once(watched, files, bad, caplog):
    """Half a file, an unknown name, a wrong type, no file at all: the old rules stay, and why is said once."""
    before = watched.version
    with caplog.at_level(logging.ERROR):
        files.rules.unlink() if bad is None else files.rules.write_text(bad)
        look(watched)
        look(watched)
    assert (watched.version, len(caplog.records)) == (before, 1)
    assert watched.refused
    files.rules.write_text(GOOD)
    look(watched)
    assert watched.refused is None


def test_a_bad_list_refuses_the_rules_too(watched, files):
    """Rules and lists are one version: with a list that cannot be read both stay as they were."""
    before = watched.version
    files.rules.write_text(OTHER)
    files.lists.write_text("lists: [{}]\n...")
    look(watched)
    assert watched.version == before
    assert "lists 0" in watched.refused


def test_without_files_there_are_no_rules(files):
    """A stack without a file decides by the model alone; lists without rules are a mistake, and it is said."""
    found = InForce(files, 3_600)
    found.start()
    assert (found.ruleset, found.refused) == (None, None)
    files.lists.write_text("lists: []\n...")
    look(found)
    assert "both belong together" in found.refused
    found.stop()


def test_an_archive_that_was_changed_is_refused(watched):
    """Archived rules are used only under their own SHA-256."""
    path = inforce.archive() / f"{watched.version}.json"
    path.write_bytes(ruleset(rule("another")).canonical)
    with pytest.raises(InputError, match="it was changed"):
        inforce.archived(watched.version)
    with pytest.raises(InputError, match="not archived"):
        inforce.archived("ab" * 32)


def test_the_shipped_rules_are_good():
    """infra/rules.yaml is read; what acts is little, the rest are shadow rules."""
    found = publish.read(PROJECT_DIR / "infra" / "rules.yaml", Files(PROJECT_DIR / "none", PROJECT_DIR / "none"))
    assert [each.name for each in found.contents.rules if not each.shadow] == ["card_testing"]


def run(*arguments):
    return CliRunner().invoke(commands.app, list(arguments))


def test_lists_are_kept_whole_by_their_commands(files):
    """Add, replace, show and remove; an entry that is over or names a card by its number is refused."""
    files.rules.write_text(GOOD)
    add = ("lists", "add", "deny", "card", CARD, "--until", "2099-01-01", "--reason")
    assert run(*add, "stolen").exit_code == 0
    assert run(*add, "reported stolen").exit_code == 0
    assert run("lists", "show").output == f"deny card {CARD} until 2099-01-01T00:00:00+00:00: reported stolen\n"
    assert files.read().contents.lists[0].reason == "reported stolen"
    before = files.lists.read_bytes()
    for wrong in (("4111111111111111", "2099-01-01"), (CARD, "2020-01-01"), (CARD, "soon")):
        done = run("lists", "add", "deny", "card", wrong[0], "--until", wrong[1], "--reason", "x")
        assert isinstance(done.exception, InputError)
        assert "4111" not in str(done.exception)
    assert files.lists.read_bytes() == before
    assert run("lists", "remove", "deny", "card", CARD).exit_code == 0
    assert listing.shown(files) == ()
    assert isinstance(run("lists", "remove", "deny", "card", CARD).exception, InputError)


def test_check_says_version_or_what_is_wrong(files, tmp_path):
    """A good file's version; of a bad one the rule and what is wrong."""
    file = tmp_path / "new.yaml"
    file.write_text(GOOD)
    assert ruleset(rule()).version in run("rules", "check", str(file)).output
    file.write_text(GOOD.replace("amount", "amuont"))
    assert "amuont is neither" in str(run("rules", "check", str(file)).exception)


def test_too_wide_a_rule_needs_a_yes(files, tmp_path, monkeypatch):
    """A rule that acts and matches more than the share is not published without --yes; a shadow rule may."""
    monkeypatch.setattr(publish, "logged", lambda: pl.DataFrame({"amount": [float(n) for n in range(101)]}))
    file = tmp_path / "new.yaml"
    for condition, shadow, yes, published in (
        ("amount > 95", False, (), True),
        ("amount > 94", False, (), False),
        ("amount > 94", False, ("--yes",), True),
        ("amount > 1", True, (), True),
        ("amount > 94", False, ("--most", "0.06"), True),
    ):
        files.rules.unlink(missing_ok=True)
        file.write_text(yaml.safe_dump({"rules": [rule(condition=condition, shadow=shadow)]}))
        done = run("rules", "publish", str(file), *yes)
        assert files.rules.exists() is published, done.output
        assert "of 101 payments" in done.output
    assert files.rules.read_text() == file.read_text() + "...\n"
    assert files.read().version == ruleset(rule(condition="amount > 94")).version
    assert [path.name for path in files.rules.parent.iterdir() if path.name.startswith(".rules")] == []
    assert "10 a_rule: review, tests: amount > 94" in run("rules", "show").output


def test_nothing_to_try_on_needs_a_yes(files, tmp_path, monkeypatch):
    """Rules that could not be tried are published only with --yes."""
    monkeypatch.setattr(publish, "logged", pl.DataFrame)
    file = tmp_path / "new.yaml"
    file.write_text(GOOD)
    assert "--yes" in str(run("rules", "publish", str(file)).exception)
    assert run("rules", "publish", str(file), "--yes").exit_code == 0
    assert files.rules.exists()


def test_logged_records_become_rows(monkeypatch):
    """A record's payment and readable vector become columns, float64 to the bit, null where missing."""
    monkeypatch.setattr(publish.registry, "writers", lambda: lambda _: schemas.parsed("transaction"))
    vector = orjson.dumps(dict.fromkeys(features.NAMES, 249.9) | {"amount": None, "geo_velocity_kmh": 0.1}).decode()
    found = publish.unpack(pa.table({"payment": [decisions.payment(mcc="5411")], "features": [vector]}))
    assert found.select("mcc", "amount", "geo_velocity_kmh", "tx_count_5min", "amount_minor").rows() == [
        ("5411", None, 0.1, 249.9, 1250.0)
    ]
