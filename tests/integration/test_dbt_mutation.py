"""A part of `make dbt-mutate`: one fault of each model at once, each caught by a unit test of that model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import dbt_copy
from tests.mutation.__main__ import failed, faults, planted, rounds, small_lake

BY_DATA = {"transaction_conflicts", "transaction_repeats", "label_events", "cards"}
"""Models whose faults only data tests see; `make dbt-mutate` shows that they do."""


@pytest.fixture
def copy(stack: object, tmp_path: Path) -> Iterator[dbt_copy.Copy]:
    """A small lake, and a copy of the project to plant faults in."""
    made = small_lake(tmp_path)
    try:
        yield made
    finally:
        made.drop()


def test_one_fault_of_each_model_is_caught(copy: dbt_copy.Copy) -> None:
    """With a fault in every model, the unit tests of every model fail; without it, all pass."""
    together = rounds(faults())[0]
    assert not failed(copy, "test", "--select", "test_type:unit")
    with planted(copy.project, together):
        seen = set(failed(copy, "test", "--select", "test_type:unit").values())
    assert seen == {fault.name for fault in together} - BY_DATA
