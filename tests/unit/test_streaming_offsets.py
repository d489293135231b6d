"""Reading Spark's offset log, counting a batch, and naming the places of a driver."""

import pytest

from errors import InputError, LakehouseError
from streaming import driver, offsets
from streaming.places import Places

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


def test_the_newest_plan_is_the_one_with_the_highest_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch 10 is newer than batch 9 whatever the listing's order; unfinished files are no plans; none is None."""
    flow = Places().flows[0]
    home = f"{flow.checkpoint}/offsets"
    found = [f"{home}/.11.0af3.tmp", f"{home}/10", f"{home}/9"]
    bodies = {f"{home}/10": LOG, f"{home}/9": LOG.replace("217", "200")}
    monkeypatch.setattr(offsets.s3, "keys", lambda _prefix, _role: iter(found))
    monkeypatch.setattr(offsets.s3, "read", lambda key, _role: offsets.s3.Stored(bodies[key].encode(), ""))
    newest = offsets.newest(flow)
    assert newest is not None
    assert newest.ends["labels"] == {0: 217}
    found[1:] = []
    assert offsets.newest(flow) is None


def test_a_table_that_the_checkpoint_knows_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost table is not made anew beneath a checkpoint that has passed its records: they would be missed for ever."""
    monkeypatch.setattr(driver.offsets, "newest", lambda _: offsets.parse(LOG))
    monkeypatch.setattr(driver.s3, "exists", lambda prefix, _role: "labels" not in prefix)
    payments, decisions = Places().flows
    driver._check(decisions)
    with pytest.raises(LakehouseError, match="bronze/labels is gone"):
        driver._check(payments)


def test_a_namespace_keeps_every_place_apart() -> None:
    """No topic, table, checkpoint, lease or status file of a namespace is the platform's own."""
    ours, trial = Places(), Places("trial-1")
    for name in ("topics", "dead_letters", "lease", "status_file"):
        assert getattr(ours, name) != getattr(trial, name)
    assert len({flow.checkpoint for flow in ours.flows + trial.flows}) == 4
    assert not set(ours.topics) & set(trial.topics)
    assert ours.table("labels") == "bronze/labels"
    assert trial.table("labels") == "bronze/trial-1/labels"


def test_a_new_checkpoint_begins_behind_what_bronze_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """No offset twice and none skipped; one that Kafka no longer has is an error, or with consent its first one."""
    monkeypatch.setattr(
        offsets.kafka, "offsets", lambda topic: {0: (5, 20), 1: (0, 9)} if "raw" in topic else {0: (0, 3)}
    )
    flow = Places().flows[0]
    begun = offsets.beginning(flow, {"transactions.raw": {0: 12}})
    assert begun == {"transactions.raw": {0: 12, 1: 0}, "labels": {0: 0}}
    for gone in (4, 21):
        with pytest.raises(LakehouseError, match="--accept-data-loss"):
            offsets.beginning(flow, {"transactions.raw": {0: gone, 1: 3}})
        accepted = offsets.beginning(flow, {"transactions.raw": {0: gone, 1: 3}}, accept_gap=True)
        assert accepted["transactions.raw"] == {0: 5, 1: 3}


@pytest.mark.parametrize("name", ["../x", "A", "a/b", "a b"])
def test_a_namespace_cannot_leave_its_place(name: str) -> None:
    """A namespace is a plain name, not a path."""
    with pytest.raises(InputError, match="namespace"):
        Places(name)
