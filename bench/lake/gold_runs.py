"""What a dbt run costs: after 5,000 payments on lakes of 0.2, 1 and 5 million, beside a rebuild, and with every test.

Each lake is a history of its own length (years, not busier days), in schemas of its own, which are gone afterwards.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pyarrow as pa

from bench import stack
from bench.figures import Figure, Section, at_most
from bench.lake import history
from clients import trino
from errors import ServerError
from lake import catalog
from settings import PROJECT_DIR

SIZES = (200_000, 1_000_000, 5_000_000)
NEW = 5_000
LATE = 100
"""Of them, payments of the month before, and as many verdicts."""
MIDDLE = 1_000_000


def measure(runs: int = 3, sizes: tuple[int, ...] = SIZES) -> Iterator[Section]:
    """Time whole dbt processes, from start to end, a section a size; one history grows from size to size.

    Twice as many runs on the first lake are shown and not counted: Trino compiles itself in them, as one that has been
    refreshing a lake for half an hour has.
    """
    middle = math.nan
    with lake() as made:
        for size in sizes:
            made.grow(size)
            figures = []
            if size == sizes[0]:
                catalog.register()
                made.dbt("seed")
                figures = [
                    Figure("the first full build", "s", [made.dbt("run", "--full-refresh")]),
                    Figure("the runs after it, while Trino warms up", "s", made.runs_after_more(2 * runs)),
                ]
            rebuilt = made.dbt("run", "--full-refresh")
            after = Figure(
                f"dbt run after +{NEW:,}", "s", made.runs_after_more(runs), at_most(25) if size == MIDDLE else None
            )
            figures += [Figure("full rebuild", "s", [rebuilt]), after]
            if size == MIDDLE:
                middle = after.value
                figures += [
                    Figure("of a full rebuild", "share", [middle / rebuilt], at_most(0.5)),
                    Figure("dbt build with every test", "s", [made.dbt("build")], at_most(120)),
                ]
            elif size > MIDDLE:
                figures.append(Figure(f"beside {MIDDLE:,}", "times", [after.value / middle], at_most(1.5)))
            yield Section(f"dbt, from Bronze to Gold, {size:,} payments", figures)


class Lake:
    """A history of payments that grows, and dbt upon it."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Begin without payments, in the schemas that `environment` names."""
        self._environment, self._bronze, self._sent = environment, history.Bronze(), 0

    def grow(self, size: int) -> None:
        """Let payments arrive with their labels until there are `size`."""
        while self._sent < size:
            paid = history.payments(self._sent, min(history.AT_ONCE, size - self._sent))
            self._bronze.arrive(paid, history.labels(paid))
            self._sent += len(paid)

    def runs_after_more(self, times: int) -> list[float]:
        """Time `times` runs, each after 5,000 payments and some verdicts arrived, a few of them late."""
        found = []
        for _ in range(times):
            then = max(self._sent - history.PER_DAY * 30, 0)
            late = history.payments(then, LATE, name=f"late{self._sent}-")
            verdicts = history.labels(history.payments(then, 100 * LATE, name="p"), 1 / 100)
            self._bronze.arrive(pa.concat_tables([history.payments(self._sent, NEW - LATE), late]), verdicts)
            self._sent += NEW
            found.append(self.dbt("run"))
        return found

    def dbt(self, *arguments: str) -> float:
        """Run dbt to its end and return its seconds; ServerError with its own words if it fails."""
        command = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors", *arguments]
        began = perf_counter()
        done = subprocess.run(
            command,
            cwd=PROJECT_DIR / "dbt_project",
            env=os.environ | self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"`dbt {' '.join(arguments)}` ended with {done.returncode}: {done.stdout[-2000:]}")
        return perf_counter() - began


@contextmanager
def lake() -> Iterator[Lake]:
    """Yield a lake in schemas of the bench's own, which are gone afterwards."""
    prefix = f"bench_{os.urandom(3).hex()}_"
    before = os.environ.get("DBT_SCHEMA_PREFIX")
    os.environ["DBT_SCHEMA_PREFIX"] = prefix
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield Lake(
                stack.variables()
                | {
                    "DBT_SCHEMA_PREFIX": prefix,
                    "DBT_PROFILES_DIR": str(PROJECT_DIR / "dbt_project"),
                    "DBT_TARGET_PATH": f"{folder}/target",
                    "DBT_LOG_PATH": f"{folder}/logs",
                }
            )
    finally:
        _drop(prefix)
        if before is None:
            del os.environ["DBT_SCHEMA_PREFIX"]
        else:
            os.environ["DBT_SCHEMA_PREFIX"] = before


def _drop(prefix: str) -> None:
    """Drop the schemas with all in them: Bronze's files are Spark's, so of it only the catalog's entries."""
    kinds = trino.query("select table_schema, table_name, table_type from delta.information_schema.tables")
    for schema, name, kind in kinds:
        if schema == f"{prefix}bronze":
            trino.query(f"call delta.system.unregister_table('{schema}', '{name}')", admin=True)
        elif schema.startswith(prefix):
            trino.query(f"drop {'view' if kind == 'VIEW' else 'table'} delta.{schema}.{name}")
    for (schema,) in trino.query("show schemas from delta"):
        if schema.startswith(prefix):
            trino.query(f"drop schema delta.{schema}", admin=True)
    history.delete_bronze(prefix)
