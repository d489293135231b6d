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

from bench import history, stack
from bench.figures import Figure, Section, at_most
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
    middle, sent = math.nan, 0
    with lake() as (environment, bronze):

        def after_more(times: int) -> list[float]:
            nonlocal sent
            found = [_run_after_more(environment, bronze, sent + number * NEW) for number in range(times)]
            sent += times * NEW
            return found

        for size in sizes:
            while sent < size:
                count = min(history.AT_ONCE, size - sent)
                paid = history.payments(sent, count)
                bronze.arrive(paid, history.labels(paid))
                sent += count
            figures = []
            if size == sizes[0]:
                catalog.register()
                dbt(environment, "seed")
                figures = [Figure("the first full build", "s", [dbt(environment, "run", "--full-refresh")]),
                           Figure("the runs after it, while Trino warms up", "s", after_more(2 * runs))]  # fmt: skip
            rebuilt = dbt(environment, "run", "--full-refresh")
            after = Figure(f"dbt run after +{NEW:,}", "s", after_more(runs), at_most(25) if size == MIDDLE else None)
            figures += [Figure("full rebuild", "s", [rebuilt]), after]
            if size == MIDDLE:
                middle = after.value
                figures += [
                    Figure("of a full rebuild", "share", [middle / rebuilt], at_most(0.5)),
                    Figure("dbt build with every test", "s", [dbt(environment, "build")], at_most(120)),
                ]
            elif size > MIDDLE:
                figures.append(Figure(f"beside {MIDDLE:,}", "times", [after.value / middle], at_most(1.5)))
            yield Section(f"dbt, from Bronze to Gold, {size:,} payments", figures)


def _run_after_more(environment: dict[str, str], bronze: history.Bronze, first: int) -> float:
    """Let 5,000 payments and some verdicts arrive, a few of them late, and time the run that brings them to Gold."""
    month = history.PER_DAY * 30
    late = history.payments(max(first - month, 0), LATE, name=f"late{first}-")
    verdicts = history.labels(history.payments(max(first - month, 0), 100 * LATE, name="p"), 1 / 100)
    bronze.arrive(pa.concat_tables([history.payments(first, NEW - LATE), late]), verdicts)
    return dbt(environment, "run")


@contextmanager
def lake() -> Iterator[tuple[dict[str, str], history.Bronze]]:
    """Yield the environment in which dbt sees schemas of the bench's own, and their Bronze."""
    prefix = f"bench_{os.urandom(3).hex()}_"
    before = os.environ.get("DBT_SCHEMA_PREFIX")
    os.environ["DBT_SCHEMA_PREFIX"] = prefix
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            environment = stack.variables() | {
                "DBT_SCHEMA_PREFIX": prefix, "DBT_PROFILES_DIR": str(PROJECT_DIR / "dbt_project"),
                "DBT_TARGET_PATH": f"{folder}/target", "DBT_LOG_PATH": f"{folder}/logs",
            }  # fmt: skip
            yield environment, history.Bronze()
    finally:
        _drop(prefix)
        if before is None:
            del os.environ["DBT_SCHEMA_PREFIX"]
        else:
            os.environ["DBT_SCHEMA_PREFIX"] = before


def dbt(environment: dict[str, str], *arguments: str) -> float:
    """Run dbt to its end and return its seconds; ServerError with its own words if it fails."""
    command = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors", *arguments]
    began = perf_counter()
    done = subprocess.run(
        command, cwd=PROJECT_DIR / "dbt_project", env=os.environ | environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise ServerError(f"`dbt {' '.join(arguments)}` ended with {done.returncode}: {done.stdout[-2000:]}")
    return perf_counter() - began


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
