"""dbt killed in each kind of model, one after another: run again, its tables are those of an undisturbed run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.native.paths import Home
from tests.integration import dbt_copy
from tests.integration.dbt_runs import IN_PARTS, PAYMENTS, again, arrive, assert_undisturbed, first_batch, killed

pytestmark = pytest.mark.timeout(1_500)  # a dozen runs of dbt, and each killed one is waited for


@pytest.fixture
def copy(stack: Home, tmp_path: Path) -> Iterator[dbt_copy.Copy]:
    """A copy of the schemas whose Bronze has a first batch, with repeats and conflicts, and of dbt the seeds."""
    with first_batch("chaos_test", tmp_path) as made:
        yield made


def test_killed_in_each_kind_of_model_and_run_again(copy: dbt_copy.Copy) -> None:
    """Killed in a seed, in a table made in parts, an append, a view, a merge and a snapshot: nothing twice or lost."""
    killed(copy, r"insert into .*currencies", "seed")
    again(copy, "seed")
    lines = (dbt_copy.DBT / "seeds" / "currencies.csv").read_text().splitlines()
    assert copy.sql("select count(*) from {silver}.currencies")[0][0] == len(lines) - 1

    killed(copy, r"insert into .*silver.\..transactions. select", "run", *IN_PARTS)
    again(copy, "run")
    arrive(copy, PAYMENTS[250:400])
    killed(copy, r"insert into .*decisions", "run")
    arrive(copy, dbt_copy.payments(60, 45, seed=44, name="late"))
    killed(copy, r"merge into .*card_features_daily", "run")
    again(copy, "run")
    copy.dbt("snapshot")
    arrive(copy, dbt_copy.payments(20, 45, seed=45, name="more"))
    killed(copy, r"create or replace view\s.*labels", "run")
    again(copy, "run")
    killed(copy, r"merge into .*card_risk_history", "snapshot")
    again(copy, "snapshot")
    copy.dbt("test", "--select", "card_risk_history", "merchant_risk_history")

    assert_undisturbed(copy)
