"""dbt and Trino killed on their way, and two runs at once: afterwards the tables of an undisturbed run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import trino
from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.state.ready import why_not
from lake import reading, tables
from tests.conftest import wait_until
from tests.integration import dbt_copy
from tests.integration.dbt_runs import (
    IN_PARTS,
    PAYMENTS,
    REFUSED,
    Run,
    again,
    arrive,
    assert_undisturbed,
    first_batch,
    killed,
)

pytestmark = pytest.mark.timeout(1500)  # a dozen runs of dbt, and each killed one is waited for


@pytest.fixture(scope="module")
def left(stack: Home) -> Iterator[str]:
    """A statement whose client began to read the answer and asks no more: Trino's number of it."""
    with trino.connection() as opened:
        cursor = opened.cursor()
        cursor.execute("select * from unnest(sequence(1, 9000)) cross join unnest(sequence(1, 1000))")
        assert cursor.stats["state"] == "RUNNING"
        yield cursor.query_id


@pytest.fixture(scope="module")
def copy(stack: Home, left: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbt_copy.Copy]:
    """A copy of the schemas whose Bronze has a first batch, with repeats and conflicts, and of dbt the seeds."""
    # The minute after which Trino gives it up goes by while others are tested.
    del left
    with first_batch("killed_test", Path(tmp_path_factory.mktemp("dbt"))) as made:
        yield made


def test_killed_in_a_table_made_in_parts_and_in_a_merge(copy: dbt_copy.Copy) -> None:
    """Killed in two of the kinds of models (tests/chaos has all of them): run again, nothing is twice or lost."""
    killed(copy, r"insert into .*silver.\..transactions. select", "run", *IN_PARTS)
    again(copy, "run")
    arrive(copy, PAYMENTS[250:400])
    killed(copy, r"merge into .*card_features_daily", "run")
    again(copy, "run")
    assert_undisturbed(copy)


def test_trino_gives_up_what_its_client_left(left: str) -> None:
    """A statement that nobody asks for any more ends by itself, so that a killed run is forgotten."""
    going = f"select 1 from system.runtime.queries where query_id = '{left}' and state not in ('FINISHED', 'FAILED')"
    wait_until(lambda: not trino.query(going), "Trino gives a statement up", timeout_s=300)


def test_the_second_of_two_runs_says_so(copy: dbt_copy.Copy) -> None:
    """While one run writes, a second one ends at once, names the first and writes nothing; the first goes on."""
    arrive(copy, dbt_copy.payments(20, 45, seed=46, name="two"))
    first = Run(copy, "run")
    assert first.sends(r"from system\.runtime\.queries"), first.said[-3000:]
    second = copy.dbt("run", check=False)
    assert second.returncode
    assert REFUSED in second.stdout
    first.process.communicate()
    assert first.process.returncode == 0
    versions = copy.versions()
    copy.dbt("run")
    assert copy.versions() == versions


def test_trino_killed_during_a_run(copy: dbt_copy.Copy, stack: Home) -> None:
    """The run fails, Trino comes back by itself, and the next run gives the tables of an undisturbed one."""
    arrive(copy, dbt_copy.payments(30, 45, seed=47, name="dead"))
    run = Run(copy, "run")
    assert run.sends(r"insert into .*transactions"), run.said[-3000:]
    os.kill(int(supervise.states(stack)["trino"]["pid"]), signal.SIGKILL)
    run.process.communicate()
    assert run.process.returncode
    wait_until(lambda: why_not("trino", stackenv.required(stack)) is None, "Trino answers again", timeout_s=300)
    again(copy, "run")
    assert_undisturbed(copy)


def test_other_columns_than_the_tables_or_the_contracts_are_refused(copy: dbt_copy.Copy, tmp_path: Path) -> None:
    """A column that the table alone has, and a type that the contract alone has: both are named, nothing is written."""
    copy.dbt("run")
    copy.sql("alter table {silver}.cards add column other bigint")
    changed = tmp_path / "dbt_project"
    shutil.copytree(dbt_copy.DBT, changed, ignore=shutil.ignore_patterns("target", "logs"))
    promised = changed / "models/marts/metrics/metrics.yml"
    promised.write_text(promised.read_text().replace("data_type: date\n", "data_type: varchar\n", 1))
    versions, folder = copy.versions(), copy.folder
    copy.project, copy.folder = changed, tmp_path
    try:
        done = copy.dbt("run", "--select", "cards", "fraud_metrics_daily", check=False)
    finally:
        copy.project, copy.folder = dbt_copy.DBT, folder
    assert done.returncode
    said = " ".join(done.stdout.split())
    assert "cards: the columns of the query are not those of its table; only there: other bigint" in said
    assert (
        "fraud_metrics_daily: the columns of the query are not those of its contract; "
        "only there: event_day varchar; only in the query: event_day date"
    ) in said
    assert copy.versions() == versions
    copy.dbt("run", "--full-refresh", "--select", "cards")
    copy.dbt("run")


def test_a_renamed_column_is_refused_before_anything_is_written(copy: dbt_copy.Copy) -> None:
    """Bronze with another name for a column: the run ends with the contract's name, and no table has a new version."""
    versions = copy.versions()
    table = reading.read(tables.BRONZE_TRANSACTIONS)
    names = ["amount_cents" if name == "amount_minor" else name for name in table.column_names]
    copy.overwrite(tables.BRONZE_TRANSACTIONS, table.rename_columns(names))
    done = copy.dbt("run", check=False)
    assert done.returncode
    assert "contract bronze.transactions: column amount_minor is not there, but amount_cents is" in done.stdout
    assert copy.versions() == versions
