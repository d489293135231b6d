"""dbt runs that are watched, killed and run again, and what the tables have afterwards."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clients import trino
from errors import ServerError
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
REFUSED = "another dbt run writes these tables"
PAYMENTS = dbt_copy.payments(400, 40, seed=41)
"""A first batch is 250 of them."""
UNANSWERED = """select queries.query_id, queries.state = 'FINISHING'
        or bool_or(tasks.state = 'FLUSHING') and not bool_or(tasks.state in ('PLANNED', 'RUNNING'))
    from system.runtime.queries left join system.runtime.tasks on tasks.query_id = queries.query_id
    where queries.state not in ('FINISHED', 'FAILED') and regexp_like(query, '"invocation[_]id": "{}"')
    group by queries.query_id, queries.state"""
"""What a killed run has left to Trino, and of each statement whether it has done all and only waits to be asked."""


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


def assert_undisturbed(copy: dbt_copy.Copy) -> None:
    """The tables are those that one whole run makes of all that arrived."""
    disturbed = {str(table): rows(table) for table in WRITTEN}
    copy.dbt("run", "--full-refresh")
    assert disturbed == {str(table): rows(table) for table in WRITTEN}


@contextmanager
def first_batch(name: str, folder: Path) -> Iterator[dbt_copy.Copy]:
    """Lend a copy of the schemas whose Bronze has a first batch, with repeats and conflicts, and of dbt the seeds."""
    made = dbt_copy.Copy(name, folder)
    try:
        arrive(made, PAYMENTS[:250])
        made.register()
        made.dbt("seed")
        yield made
    finally:
        made.drop()
