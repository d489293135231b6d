"""Audits, the pure part: moments with zones, causes from recorded times, rows paired by key, one retention."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import InputError
from lake import upkeep
from lake.audit.causes import Cause, Facts, cause, sentence
from lake.audit.changes import paired, same
from lake.audit.known import Maker, judge
from lake.audit.log import Version
from lake.audit.subjects import CLOCKS, KEYS, Subject
from lake.audit.times import literal, moment, shown
from lake.tables import Table
from settings import PROJECT_DIR
from streaming.maintenance import KEPT_HOURS
from streaming.tables import KEPT, PROPERTIES

X = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
HOURS = st.integers(-5, 5).map(lambda hours: X + timedelta(hours=hours))
MAYBE = st.none() | HOURS
LABELS = Subject(Table("silver", "label_events"), ("label_event_id", "verdict", "known_at", "loaded_at"))
THEN = Version(3, X - timedelta(hours=1), "WRITE")


@given(st.datetimes(datetime(2001, 1, 1), datetime(2025, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001 - the zone comes next
def test_a_moment_keeps_its_instant(naive: datetime, offset: int) -> None:
    """A time written with any zone is the same instant in UTC, and comes back from what is shown to the millisecond."""
    given_time = naive.replace(tzinfo=timezone(timedelta(hours=offset)))
    found = moment(given_time.isoformat(), X)
    assert found == given_time
    assert abs(moment(shown(found), X) - found) < timedelta(milliseconds=1)
    assert literal(found) == f"timestamp '{shown(found)}'"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2026-11-22 14:30", "names no zone"),
        ("2026-11-22", "names no zone"),
        ("last Tuesday", "is not a time"),
        ("2026-11-22T15:30:00Z", "has not come yet"),
    ],
)
def test_a_moment_that_is_none_is_refused(text: str, says: str) -> None:
    """Without a zone, in no form, or in the future: each says so."""
    with pytest.raises(InputError, match=says):
        moment(text, X)


@given(st.booleans(), st.booleans(), st.booleans(), MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, st.booleans())
def test_each_row_has_one_cause_that_its_times_show(
    stored: bool,
    standing: bool,
    equal: bool,
    known: datetime | None,
    arrived: datetime | None,
    landed: datetime | None,
    built: datetime | None,
    entered: datetime | None,
    before: bool,
) -> None:
    """A row agrees only if known and stored alike; a cause of delay names the first step after the time."""
    facts = Facts(stored, standing, equal, known, arrived, landed, built, entered)
    why = cause(facts, X, before=before)
    is_known = standing and known is not None and (known < X or (known == X and not before))
    if why is Cause.AGREE:
        assert is_known == stored
        assert equal or not stored
    elif why in {Cause.ARRIVED_LATER, Cause.LANDED_LATER, Cause.BUILT_LATER, Cause.COMMITTED_LATER}:
        assert is_known
        assert not stored
        steps = [arrived, landed, built, entered]
        first = next(step for step in steps if step is not None and step > X)
        names = [Cause.ARRIVED_LATER, Cause.LANDED_LATER, Cause.BUILT_LATER, Cause.COMMITTED_LATER]
        assert steps[names.index(why)] == first
    elif why is Cause.UNEXPLAINED:
        assert is_known
        assert not any(step is not None and step > X for step in (arrived, landed, built, entered))
    else:
        assert stored
    assert why is Cause.AGREE or sentence(why, facts, "version 4")


def label(known_at: datetime, verdict: str = "fraud") -> dict[str, object]:
    """Return a label event as Silver has it."""
    return {
        "label_event_id": "e",
        "verdict": verdict,
        "known_at": known_at,
        "kafka_timestamp": X + timedelta(hours=1),
        "ingested_at": X + timedelta(hours=1),
        "loaded_at": X + timedelta(hours=2),
    }


def test_a_label_counts_after_the_moment_at_which_it_became_known() -> None:
    """A verdict known at the very moment asked about was not known before it; a millisecond earlier it was."""
    at_once = judge(LABELS, X, THEN, {}, {("e",): label(X)}, {})
    assert (at_once.known, at_once.differences) == (0, [])
    earlier = judge(LABELS, X, THEN, {}, {("e",): label(X - timedelta(milliseconds=1))}, {("e",): Maker(4, X, None)})
    assert earlier.known == 1
    assert [each.cause for each in earlier.differences] == [Cause.ARRIVED_LATER]
    assert "version 4" in earlier.differences[0].why


def test_rows_that_differ_show_both_values() -> None:
    """A row that was written again names the columns that changed; one that went says so; a future one is ahead."""
    old, new = label(X - timedelta(days=1)), label(X - timedelta(days=1), "genuine")
    (rewritten,) = judge(LABELS, X, THEN, {("e",): old}, {("e",): new}, {}).differences
    assert (rewritten.cause, rewritten.values) == (Cause.REWRITTEN, {"verdict": ("fraud", "genuine")})
    (removed,) = judge(LABELS, X, THEN, {("e",): old}, {}, {}).differences
    assert removed.cause is Cause.REMOVED
    ahead = label(X + timedelta(days=1))
    (early,) = judge(LABELS, X, THEN, {("e",): ahead}, {("e",): ahead}, {}).differences
    assert early.cause is Cause.AHEAD_OF_TIME
    assert judge(LABELS, X, THEN, {("e",): old}, {("e",): old}, {}).agree == 1


KEYED = st.dictionaries(st.integers(0, 6), st.integers(0, 2), max_size=6)


@given(KEYED, KEYED)
def test_changes_turn_what_was_into_what_is(old: dict[int, int], new: dict[int, int]) -> None:
    """Rows that left and rows that came, paired by key, lead from one version to the other, each key once."""
    subject = Subject(Table("gold", "fraud_metrics_daily"), ("source", "event_day", "n"))

    def rows(of: dict[int, int]) -> list[dict[str, object]]:
        return [{"source": "bank", "event_day": key, "n": n} for key, n in of.items()]

    gone = [row for row in rows(old) if row not in rows(new)]
    come = [row for row in rows(new) if row not in rows(old)]
    changes = paired(subject, gone, come, 4, X)
    result = {row["event_day"]: row["n"] for row in rows(old)}
    for change in changes:
        if change.before:
            del result[change.before["event_day"]]
        if change.after:
            result[change.after["event_day"]] = change.after["n"]
        assert (change.kind == "update") == bool(change.differences())
    assert result == new
    assert len({(change.after or change.before or {})["event_day"] for change in changes}) == len(changes)


def test_missing_numbers_are_the_same() -> None:
    """NaN then and NaN now is no change; NaN and a number is one."""
    assert same(float("nan"), float("nan"))
    assert not same(float("nan"), 1.0)
    assert not same(None, 0)


def test_every_table_of_gold_has_its_key() -> None:
    """A table with clocks has a key; so do all that dbt merges by one."""
    merged = [
        path
        for path in (PROJECT_DIR / "dbt_project" / "models" / "marts").rglob("*.sql")
        if "unique_key=" in path.read_text()
    ]
    assert merged
    for path in merged:
        listed = path.read_text().split("unique_key=[")[1].split("]")[0]
        assert KEYS[f"gold.{path.stem}"] == tuple(name.strip(" '\n") for name in listed.split(","))
    assert CLOCKS.keys() <= KEYS.keys()


def test_thirty_days_are_said_alike_everywhere() -> None:
    """Spark's tables, Trino's tables, both vacuums and Trino's own bound keep the same time."""
    assert f"interval {upkeep.KEPT_DAYS} days" == KEPT
    assert PROPERTIES.items() >= upkeep.RETENTION.items()
    assert KEPT_HOURS == upkeep.KEPT_DAYS * 24
    (catalog,) = (PROJECT_DIR / "infra" / "trino" / "catalog").glob("*.properties")
    assert f"delta.vacuum.min-retention={upkeep.KEPT_DAYS}d" in catalog.read_text().splitlines()
