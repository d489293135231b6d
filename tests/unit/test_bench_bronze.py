"""What Bronze's commits and Trino's answers say is turned into figures without flattery."""

import pytest

from bench.lake.bronze import BATCH, Commit, rates
from bench.lake.freshness import Seen


def test_cold_and_small_batches_are_not_counted() -> None:
    """Rates are of full batches after two cold ones, each against the commit before it."""
    commits = [Commit(0, BATCH), Commit(60, BATCH), Commit(70, BATCH), Commit(75, BATCH), Commit(76, 12)]
    assert rates(commits) == [BATCH / 10, BATCH / 5]
    assert rates(commits[:2]) == []


def test_a_payment_is_seen_when_the_first_query_that_shows_it_has_returned() -> None:
    """An offset counts from the first answer at or above it; a later or lower answer changes nothing."""
    seen = Seen()
    for offset, at in ((10, 1.0), (10, 2.0), (25, 3.0), (25, 4.0)):
        seen.add(0, offset, at)
    assert [seen.first(0, offset) for offset in (0, 10, 11, 25)] == [1.0, 1.0, 3.0, 3.0]
    assert seen.first(0, 26) is None
    assert seen.first(1, 0) is None


@pytest.mark.parametrize("offset", [0, 5])
def test_the_first_answer_serves_all_before_it(offset: int) -> None:
    """Whatever was there at the first look is seen at the first look."""
    seen = Seen()
    seen.add(2, 5, 9.0)
    assert seen.first(2, offset) == 9.0
