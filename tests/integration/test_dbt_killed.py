"""dbt and Trino killed on their way, and two runs at once: afterwards the tables of an undisturbed run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from clients import trino
from errors import ServerError
from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.state.ready import why_not
from lake import reading, tables
from tests.conftest import wait_until
from tests.integration import dbt_copy

WRITTEN = (
    tables.TRANSACTIONS,
    tables.TRANSACTION_REPEATS,
    tables.TRANSACTION_CONFLICTS,
    tables.CARDS,
    tables.LABEL_EVENTS,
    tables.DECISIONS,
    *tables.GOLD,
)
RUN = {"loaded_at", "profile_version", "updated_at"}
IN_PARTS = ("--vars", "{rows_made_at_once: 100}")
pytestmark = pytest.mark.timeout(1500)  # a dozen runs of dbt, and each killed one is waited for
REFUSED = "another dbt run writes these tables"
PAYMENTS = dbt_copy.payments(400, 40, seed=41)
UNANSWERED = """select queries.query_id, queries.state = 'FINISHING'
        or bool_or(tasks.state = 'FLUSHING') and not bool_or(tasks.state in ('PLANNED', 'RUNNING'))
    from system.runtime.queries left join system.runtime.tasks on tasks.query_id = queries.query_id
    where queries.state not in ('FINISHED', 'FAILED') and regexp_like(query, '"invocation[_]id": "{}"')
    group by queries.query_id, queries.state"""
"""What a killed run has left to Trino, and of each statement whether it has done all and only waits to be asked."""


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
    made = dbt_copy.Copy("killed_test", Path(tmp_path_factory.mktemp("dbt")))
    try:
        arrive(made, PAYMENTS[:250])
        made.register()
        made.dbt("seed")
        yield made
    finally:
        made.drop()


def arrive(copy: dbt_copy.Copy, payments: list[dbt_copy.Record]) -> None:
    """Let payments arrive, some of them twice and some differently, with labels and decisions."""
    arriving = [*payments, *payments[:3], *({**row, "mcc": "4829"} for row in payments[3:6])]
    places = copy.transactions.places(len(arriving))
    copy.arrive(arriving, dbt_copy.labels(payments, 0.2, seed=42), dbt_copy.decisions(arriving, places, 0.9, seed=43))


class Run:
    """A dbt process whose statements are seen as they are sent."""

    def __init__(self, copy: dbt_copy.Copy, *arguments: str) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("dbt"), "--log-format", "json", "--log-level", "debug", *arguments],
            cwd=copy.project,
            env=os.environ | copy.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def sends(self, statement: str) -> bool:
        """Wait until it sends a statement that the pattern finds, after dbt's own comment; False if it ends without."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            event = json.loads(line) if line.startswith("{") else {}
            if re.search(statement, event.get("data", {}).get("sql") or "", re.DOTALL | re.IGNORECASE):
                return True
        return False

    def kill(self) -> None:
        """End it as the machine's death would."""
        self.process.kill()
        self.process.communicate()

    def give_up(self) -> None:
        """End what it has left to Trino, as Trino does a minute after a client's last word; what it began is done."""
        invocation = re.findall(r'"invocation_id": "([^"]+)"', self.said)[0]

        def is_over() -> bool:
            found = trino.query(UNANSWERED.format(invocation), admin=True)
            for query, waits in found:
                if waits:
                    # It may have ended between the two questions.
                    with suppress(ServerError):
                        trino.query(f"call system.runtime.kill_query('{query}', 'its client was killed')", admin=True)
            return not found

        wait_until(is_over, "what a killed run has left is over", timeout_s=300)


def killed(copy: dbt_copy.Copy, statement: str, *arguments: str) -> None:
    """Run dbt once a killed run is forgotten, and kill it as soon as it has sent `statement`."""

    def goes() -> bool:
        run = Run(copy, *arguments)
        if not run.sends(statement):
            assert REFUSED in run.said, run.said[-3000:]
            return False
        run.kill()
        run.give_up()
        return True

    wait_until(goes, f"dbt sends {statement}", timeout_s=300)


def again(copy: dbt_copy.Copy, *arguments: str) -> None:
    """Run dbt once the killed run is forgotten: until then it says that another is at work, and writes nothing."""

    def goes() -> bool:
        done = copy.dbt(*arguments, check=False)
        assert done.returncode == 0 or REFUSED in done.stdout, done.stdout[-3000:]
        return done.returncode == 0

    wait_until(goes, "dbt runs again", timeout_s=300)


def rows(table: tables.Table) -> Counter[str]:
    """Return the rows of a table with how often each stands there, without when it was written."""
    return Counter(
        json.dumps({name: value for name, value in row.items() if name not in RUN}, default=str, sort_keys=True)
        for row in reading.read(table).to_pylist()
    )


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

    disturbed = {str(table): rows(table) for table in WRITTEN}
    copy.dbt("run", "--full-refresh")
    assert disturbed == {str(table): rows(table) for table in WRITTEN}


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
    disturbed = {str(table): rows(table) for table in WRITTEN}
    copy.dbt("run", "--full-refresh")
    assert disturbed == {str(table): rows(table) for table in WRITTEN}


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
