"""The policy's copy, its records, what is published and by whom, and bulk entries; without Kafka."""

import csv
import sqlite3
import time

import orjson
import polars as pl
import pyarrow as pa
import pytest

import features
from clients import kafka
from contracts import schemas
from errors import InputError
from scoring.rules import By, ListName
from scoring.rules.lists import Body, Place
from serving.policy import in_force as inforce
from serving.policy import lists as listing
from serving.policy import publish, records
from serving.policy.in_force import InForce
from serving.policy.records import Action, Change
from serving.policy.replica import Replica
from settings import PROJECT_DIR, settings
from tests import decisions
from tests.scorer_process import give_policy, published
from tests.unit.rule_files import CARD, payment, rule, ruleset, values, whole

GOOD, OTHER = whole({"rules": [rule()]}), whole({"rules": [rule("another")]})
BAD = GOOD.replace("amount", "amuont")
PLACE = Place(ListName.DENY, By.CARD, CARD)
LATER_US = time.time_ns() // 1_000 + 3_600_000_000
BODY = Body(LATER_US, "stolen", "j.doe", 5)
NOWHERE = "127.0.0.1:9"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A state folder of the test's own, and no Kafka."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_BOOTSTRAP", NOWHERE)
    monkeypatch.setattr(kafka, "LOOK_S", 0.1)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def started() -> InForce:
    found = InForce("one")
    found.start()
    found.stop()
    return found


@pytest.mark.parametrize("record", [*published(GOOD), (PLACE, BODY), (PLACE._replace(value="a:b:c"), BODY)])
def test_a_record_is_read_as_it_was_written(record):
    """Whatever stands on the topic comes out as it went in, values with colons too."""
    assert records.decode(*records.encode(record)) == record


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", b""),
        (b"rules", b"\xff"),
        (b"entry:deny:card:x", b"{}"),
        (b"entry:deny:card:x", b'[9999999999999999999,"r","a",0]'),
        (b"change:1", b"[]"),
        (b"\xff", b""),
    ],
)
def test_a_record_that_is_none_is_refused(key, value):
    """Garbage on the topic is named, never taken."""
    with pytest.raises(InputError, match="policy: a record"):
        records.decode(key, value)


def test_without_kafka_the_copy_is_in_force(home):
    """Rules and lists of the copy count at once while Kafka is away; the version can be had again from the archive."""
    give_policy(home, "one", *published(GOOD), (PLACE, BODY))
    found = started()
    assert (found.version, found.refused, found.missing) == (ruleset(rule()).version, None, None)
    assert found.ruleset.evaluate(payment(), values(), 0).entries[0].author == "j.doe"
    assert inforce.archived(found.version).canonical == found.ruleset.canonical


def test_a_refused_version_leaves_the_last_good_one_also_through_a_restart(home):
    """The older version stays, and who put which version that cannot be used is said."""
    give_policy(home, "one", *published(GOOD))
    started()
    bad = records.Text("ab" * 32, BAD)
    give_policy(home, "one", bad, Change(LATER_US, Action.PUBLISH, bad.version, "a stranger"), (PLACE, BODY))
    found = started()
    assert (found.version, found.missing) == (ruleset(rule()).version, None)
    assert "by a stranger" in found.refused
    assert "amuont is neither" in found.refused
    assert found.ruleset.evaluate(payment(), values(), 0).entries


def test_rules_of_which_none_can_be_used_are_missed(home):
    """Never silently none: rules that exist and are not in force, or may exist for all that is known, are missing."""
    assert "never read" in started().missing
    bad = records.Text("ab" * 32, BAD)
    give_policy(home, "one", bad, Change(LATER_US, Action.PUBLISH, bad.version, "a stranger"), (PLACE, BODY))
    found = started()
    assert found.ruleset.evaluate(payment(), values(), 0).entries
    assert "none of the rules is in force" in found.missing


def test_no_rules_at_all_is_a_policy(home):
    """Where nobody ever published rules the model decides alone, and lists count all the same."""
    give_policy(home, "one")
    assert (started().ruleset, started().missing) == (None, None)
    give_policy(home, "one", (PLACE, BODY))
    found = started()
    assert found.ruleset.evaluate(payment(), values(), 0).entries
    assert inforce.archived(found.version).contents.rules == ()


def test_an_archive_that_was_changed_is_refused(home):
    """Archived rules are used only under their own SHA-256."""
    give_policy(home, "one", *published(GOOD))
    version = started().version
    (inforce.archive() / f"{version}.json").write_bytes(ruleset(rule("another")).canonical)
    with pytest.raises(InputError, match="it was changed"):
        inforce.archived(version)
    with pytest.raises(InputError, match="not archived"):
        inforce.archived("ab" * 32)


def test_the_copy_takes_each_record_once_and_another_topic_on_top(tmp_path):
    """What a process with the same copy took before is left alone; a topic made anew is read from its beginning."""
    one = Replica(tmp_path / "copy.db")
    assert one.follow("first") == 0
    one.apply([(PLACE, BODY)], 10)
    Replica(tmp_path / "copy.db").apply([(PLACE, BODY._replace(reason="late"))], 9)
    assert [listing.Body.restore(row[3]).reason for row in one.entries(0)] == ["stolen"]
    assert (one.follow("first"), one.follow("second")) == (10, 0)
    one.apply([(PLACE, BODY._replace(reason="new"))], 1)
    assert [listing.Body.restore(row[3]).reason for row in one.entries(0, PLACE)] == ["new"]
    one.close()


def test_a_broken_copy_is_made_anew(tmp_path):
    """A file that is no database any more costs a reading of Kafka, not a start."""
    (tmp_path / "copy.db").write_bytes(b"no database" * 1_000)
    assert Replica(tmp_path / "copy.db").position == 0


def test_a_change_is_whole(tmp_path):
    """What cannot be taken whole leaves everything, the position too, as it was."""
    one = Replica(tmp_path / "copy.db")
    with pytest.raises(sqlite3.Error):
        one.apply([(PLACE, BODY), Change(1, Action.PUBLISH, object(), "a")], 7)  # type: ignore[arg-type]
    assert (one.position, list(one.entries(0))) == (0, [])


def write(file, *lines):
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([listing.COLUMNS, *lines])
    return file


def test_many_entries_come_from_a_file_and_go_into_one(tmp_path):
    """What `show` prints, `import` takes."""
    file = write(tmp_path / "in.csv", ["deny", "card", CARD, 'said "stolen", twice', "2099-01-01"])
    found = listing.read(file, "j.doe", 5)
    assert found[0] == (PLACE, Body(4_070_908_800_000_000, 'said "stolen", twice', "j.doe", 5))
    rows = list(listing.table((*where, body.text()) for where, body in found))
    with (tmp_path / "out.csv").open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    assert listing.read(tmp_path / "out.csv", "j.doe", 5) == found
    assert rows[1][5] == "j.doe"


def test_bad_lines_are_named_and_nothing_is_taken(tmp_path):
    """Every bad line by its number, without the value: it could be a card number."""
    good = ["deny", "card", CARD, "stolen", "2099-01-01"]
    lines = (
        ["deny", "card", "4111111111111111", "stolen", "2099-01-01"],
        good,
        ["deny"],
        good,
        [*good[:4], "2020-01-01"],
    )
    with pytest.raises(InputError) as refused:
        listing.read(write(tmp_path / "in.csv", *lines), "j.doe", time.time_ns() // 1_000)
    text = str(refused.value)
    assert [f"line {n}" in text for n in range(2, 7)] == [True, False, True, True, True]
    assert "4111" not in text
    (tmp_path / "head.csv").write_text("card\n")
    with pytest.raises(InputError, match="names no"):
        listing.read(tmp_path / "head.csv", "j.doe", 0)


V1, V2 = "1" * 64, "12" * 32
CHANGES = (
    Change(1, Action.PUBLISH, V1, "Ann"),
    Change(2, Action.PROPOSE, V2, "Ann"),
)


def test_a_second_person_has_to_agree_where_it_is_asked(home, monkeypatch):
    """With the setting nobody publishes alone, and nobody approves their own; what was in force may return."""
    publish.check_author(Action.PUBLISH, V2, "Ann", CHANGES)
    publish.check_author(Action.APPROVE, V2, "Ann", CHANGES)
    publish.check_author(Action.ROLLBACK, V1, "Ann", CHANGES)
    monkeypatch.setenv("RULES_SECOND_PERSON", "true")
    settings.cache_clear()
    publish.check_author(Action.APPROVE, V2, "Bob", CHANGES)
    for action, version, author in (
        (Action.PUBLISH, V2, "Bob"),
        (Action.APPROVE, V2, "ann"),
        (Action.APPROVE, V1, "Bob"),
        (Action.ROLLBACK, V2, "Bob"),
    ):
        with pytest.raises(InputError):
            publish.check_author(action, version, author, CHANGES)


def test_a_version_is_known_by_its_beginning():
    """As long as it is the only one that begins so."""
    assert publish.whole("12", CHANGES) == V2
    for start in ("1", "3"):
        with pytest.raises(InputError):
            publish.whole(start, CHANGES)


def test_what_changed_is_said_in_short():
    """Rules added, taken out and changed by name, and the control share."""
    old = ruleset(rule("a"), rule("b"), rule("c"))
    new = ruleset(rule("a"), rule("b", shadow=True), rule("d"), control={"share": 0.1})
    assert publish.difference(old, new) == "~b -c ~control +d"
    assert publish.difference(old, old) == "nothing"
    assert publish.difference(None, old) == "+a +b +c"


def test_what_is_tried_is_what_was_read(tmp_path):
    """The file is read once: what somebody writes to it meanwhile is not published."""
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    found = publish.read(file)
    file.write_text(OTHER)
    assert (found.text, found.version) == (GOOD, ruleset(rule()).version)


def test_the_shipped_rules_are_good():
    """infra/rules.yaml is read; what acts is little, the rest are shadow rules."""
    found = publish.read(PROJECT_DIR / "infra" / "rules.yaml").ruleset
    assert [each.name for each in found.contents.rules if not each.shadow] == ["card_testing", "no_exchange_rate"]


def test_logged_records_become_rows(monkeypatch):
    """A record's payment and readable vector become columns, float64 to the bit, null where missing."""
    monkeypatch.setattr(publish.registry, "writers", lambda: lambda _: schemas.parsed("transaction"))
    vector = orjson.dumps(dict.fromkeys(features.NAMES, 249.9) | {"amount": None, "geo_velocity_kmh": 0.1}).decode()
    found = publish.unpack(pa.table({"payment": [decisions.payment(mcc="5411")], "features": [vector]}))
    assert found.select("mcc", "amount", "geo_velocity_kmh", "tx_count_5min", "amount_minor").rows() == [
        ("5411", None, 0.1, 249.9, 1250.0)
    ]


def test_too_wide_a_rule_is_named(monkeypatch):
    """A rule that acts and matches more than the share is above it; a shadow rule may."""
    monkeypatch.setattr(publish, "logged", lambda: pl.DataFrame({"amount": [float(n) for n in range(101)]}))
    for condition, shadow, above in (
        ("amount > 95", False, []),
        ("amount > 94", False, ["a_rule"]),
        ("amount > 1", True, []),
    ):
        found = ruleset(rule(condition=condition, shadow=shadow))
        assert publish.attempt(found).above(found, 0.05) == above
