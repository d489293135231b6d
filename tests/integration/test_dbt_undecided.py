"""A lake for which nothing is decided yet, as one filled from a file: it builds, and decisions may follow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake import tables
from tests.integration import dbt_copy

TESTED = ("--indirect-selection", "buildable")
PAYMENTS = dbt_copy.payments(60, 5, seed=31)


@pytest.fixture(scope="module")
def copy(stack: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbt_copy.Copy]:
    """A private copy of the schemas whose bronze.decisions is there, and empty."""
    made = dbt_copy.Copy("undecided_test", Path(tmp_path_factory.mktemp("dbt")))
    try:
        made.arrive(PAYMENTS, dbt_copy.labels(PAYMENTS, 0.2, seed=32))
        made.register()
        yield made
    finally:
        made.drop()


def test_outcomes_wait_for_the_first_decision(copy: dbt_copy.Copy) -> None:
    """Without decisions every model builds and every test passes; those that come later have their outcomes."""
    copy.dbt("build", "--select", "+decision_outcomes_daily", *TESTED)
    assert set(copy.results().values()) <= {"success", "pass"}
    assert not copy.rows(tables.DECISIONS)
    assert not copy.rows(tables.DECISION_OUTCOMES)
    places = [(n % 4, n // 4) for n in range(len(PAYMENTS))]
    copy.arrive([], [], dbt_copy.decisions(PAYMENTS, places, 1, seed=33))
    copy.dbt("build", "--select", "decisions", "decision_outcomes_daily", *TESTED)
    assert sum(row["payments"] for row in copy.rows(tables.DECISION_OUTCOMES)) == len(PAYMENTS)
