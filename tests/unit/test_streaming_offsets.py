"""Reading Spark's offset log, counting a batch, and naming the places of a driver."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from errors import InputError, LakehouseError
from streaming import driver, offsets
from streaming.places import Places
from streaming.status import Board

LOG = (
    'v1\n{"batchWatermarkMs":0,"batchTimestampMs":1795309757171,"conf":{"spark.sql.shuffle.partitions":"2"}}\n'
    '{"transactions.raw":{"0":4975,"1":5015},"labels":{"0":217}}'
)


def test_a_plan_is_read_from_the_offset_log() -> None:
    """The log gives each partition's end and the clock at which the batch was planned."""
    plan = offsets.parse(LOG)
    assert plan.ends == {"transactions.raw": {0: 4975, 1: 5015}, "labels": {0: 217}}
    assert plan.time_ms == 1795309757171


@pytest.mark.parametrize("text", ["", "v1", 'v1\n{"a":1}\n{}', "v1\n{}\n[]", LOG.replace("4975", '"x"')])
def test_an_offset_log_of_another_form_is_an_error(text: str) -> None:
    """A log that a later Spark writes otherwise stops the driver; nothing is guessed."""
    with pytest.raises(LakehouseError, match="offset log"):
        offsets.parse(text)


def test_a_batch_counts_the_offsets_between_two_plans() -> None:
    """Offsets are counted for each topic; a new partition counts from 0."""
    before = {"transactions.raw": {0: 10, 1: 5}, "labels": {0: 7}}
    after = {"transactions.raw": {0: 15, 1: 5, 2: 4}, "labels": {0: 7}}
    assert offsets.counted(before, after) == {"transactions.raw": 9, "labels": 0}


def test_a_topic_newer_than_the_checkpoint_counts_from_its_beginning() -> None:
    """A plan made before `decisions` joined says nothing of it: the batch that brings it counts all it has."""
    before = offsets.parse(LOG)
    assert offsets.added(Places(), before) == ["decisions"]
    joined = {topic: dict(ends) for topic, ends in before.ends.items()} | {"decisions": {0: 3, 1: 0, 2: 4, 3: 0}}
    assert offsets.counted(before.ends, joined) == {"transactions.raw": 0, "labels": 0, "decisions": 7}
    assert offsets.counted(joined, joined | {"decisions": {0: 3, 1: 2, 2: 4, 3: 0}})["decisions"] == 2
    assert offsets.added(Places(), offsets.Plan(joined, 0)) == []
    assert offsets.added(Places("trial"), before) == ["trial.transactions.raw", "trial.labels", "trial.decisions"]


def test_the_newest_plan_is_the_one_with_the_highest_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch 10 is newer than batch 9 whatever the listing's order; unfinished files are no plans; none is None."""
    home = f"{Places().checkpoint}/offsets"
    found = [f"{home}/.11.0af3.tmp", f"{home}/10", f"{home}/9"]
    bodies = {f"{home}/10": LOG, f"{home}/9": LOG.replace("217", "200")}
    monkeypatch.setattr(offsets.s3, "keys", lambda _prefix, _role: iter(found))
    monkeypatch.setattr(offsets.s3, "read", lambda key, _role: offsets.s3.Stored(bodies[key].encode(), ""))
    newest = offsets.newest(Places())
    assert newest is not None
    assert newest.ends["labels"] == {0: 217}
    found[1:] = []
    assert offsets.newest(Places()) is None


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, dict[int, int]]]:
    """A driver that finds the checkpoint of LOG; the test says what Bronze has reached."""
    reached: dict[str, dict[str, dict[int, int]]] = {"of": {topic: {} for topic in Places().topics}}
    monkeypatch.setattr(driver.offsets, "newest", lambda _: offsets.parse(LOG))
    monkeypatch.setattr(driver.offsets, "beginning", lambda *_, **__: pytest.fail("the checkpoint goes on"))
    monkeypatch.setattr(driver.tables, "ensure_tables", lambda _: None)
    monkeypatch.setattr(driver.tables, "newest_us", lambda _: 0)
    monkeypatch.setattr(driver.tables, "reached", lambda _: reached["of"])
    monkeypatch.setattr(driver.s3, "exists", lambda prefix, _role: "decisions" not in prefix)
    return reached


def test_an_old_checkpoint_takes_a_new_topic_in(resumed: dict[str, dict[str, dict[int, int]]], tmp_path: Path) -> None:
    """A checkpoint made before `decisions` goes on, the new topic's table being yet to come; the driver says so."""
    board = Board(tmp_path / "bronze.json")
    lander = driver._prepared(driver.Options(Places()), MagicMock(), MagicMock(), board)
    assert lander.begin == {}
    assert board.now.detail.endswith("decisions")


def test_a_topic_that_would_land_again_is_refused(
    resumed: dict[str, dict[str, dict[int, int]]], tmp_path: Path
) -> None:
    """Rows of a topic that the checkpoint does not know would come twice: the driver stops and says what to do."""
    resumed["of"] |= {"decisions": {0: 5}}
    with pytest.raises(LakehouseError, match="Delete the checkpoint"):
        driver._prepared(driver.Options(Places()), MagicMock(), MagicMock(), Board(tmp_path / "bronze.json"))


def test_a_table_that_the_checkpoint_knows_must_be_there(
    resumed: dict[str, dict[str, dict[int, int]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost table is not made anew beneath a checkpoint that has passed its records: they would be missed for ever."""
    monkeypatch.setattr(driver.s3, "exists", lambda prefix, _role: "labels" not in prefix)
    with pytest.raises(LakehouseError, match="bronze/labels is gone"):
        driver._prepared(driver.Options(Places()), MagicMock(), MagicMock(), Board(tmp_path / "bronze.json"))


def test_a_namespace_keeps_every_place_apart() -> None:
    """No topic, table, checkpoint, lease or status file of a namespace is the platform's own."""
    ours, trial = Places(), Places("trial-1")
    for name in ("topics", "dead_letters", "checkpoint", "lease", "status_file"):
        assert getattr(ours, name) != getattr(trial, name)
    assert not set(ours.topics) & set(trial.topics)
    assert ours.table("labels") == "bronze/labels"
    assert trial.table("labels") == "bronze/trial-1/labels"


def test_a_new_checkpoint_begins_behind_what_bronze_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """No offset twice and none skipped; one that Kafka no longer has is an error, or with consent its first one."""
    monkeypatch.setattr(
        offsets.kafka, "offsets", lambda topic: {0: (5, 20), 1: (0, 9)} if "raw" in topic else {0: (0, 3)}
    )
    begun = offsets.beginning(Places(), {"transactions.raw": {0: 12}})
    assert begun == {"transactions.raw": {0: 12, 1: 0}, "labels": {0: 0}, "decisions": {0: 0}}
    for gone in (4, 21):
        with pytest.raises(LakehouseError, match="--accept-data-loss"):
            offsets.beginning(Places(), {"transactions.raw": {0: gone, 1: 3}})
        accepted = offsets.beginning(Places(), {"transactions.raw": {0: gone, 1: 3}}, accept_gap=True)
        assert accepted["transactions.raw"] == {0: 5, 1: 3}


@pytest.mark.parametrize("name", ["../x", "A", "a/b", "a b"])
def test_a_namespace_cannot_leave_its_place(name: str) -> None:
    """A namespace is a plain name, not a path."""
    with pytest.raises(InputError, match="namespace"):
        Places(name)
