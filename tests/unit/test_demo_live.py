"""The tour's table of live decisions: at most fifteen lines, and nothing is left out of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import page
from demo.live import MOST_LINES, Decided, by_second, nothing
from demo.run import console

MODEL = st.just("model")
decisions = st.lists(
    st.builds(
        Decided, st.integers(0, 400_000), st.integers(0, 5_000), st.sampled_from(["approve", "review", "block"]), MODEL
    ),
    min_size=1,
)


@given(decisions)
def test_lines_are_few_and_lose_nothing(decided):
    """However long the traffic, there are at most fifteen lines, and they sum to all."""
    found = by_second(decided)
    assert 0 < len(found["lines"]) <= MOST_LINES
    for count in ("decided", "alerts", "blocked"):
        assert sum(line[count] for line in found["lines"]) == found["all"][count]
    assert found["all"]["decided"] == len(decided)
    assert all(line["p50_ms"] <= line["p99_ms"] <= 5_000 for line in found["lines"])


@pytest.mark.parametrize(("seconds", "first", "last"), [(15, "1", "15"), (16, "1-2", "15-16"), (31, "1-3", "31-33")])
def test_seconds_are_summed_when_there_are_many(seconds, first, last):
    """Up to fifteen seconds have a line each; longer traffic has lines of several seconds."""
    found = by_second(
        [Decided(1_700_000_000_000 + 1_000 * n, 3, "approve" if n else "block", "model") for n in range(seconds)]
    )
    assert (found["lines"][0]["second"], found["lines"][-1]["second"]) == (first, last)
    assert [line["alerts"] for line in found["lines"]][:2] == [1, 0]


def test_the_page_shows_the_table_or_why_there_is_none():
    """Decisions by fallback are named as such; without decisions the page has one line that says why."""
    with console.capture() as said:
        page._live(by_second([Decided(0, 2, "approve", "model"), Decided(1, 9, "review", "fallback")]))
        page._live(nothing("the stream sleeps"))
    assert "1 of them came before the stream had a model" in said.get()
    assert said.get().splitlines()[-2:] == ["Live decisions: the stream sleeps", ""]
