"""Rebuilds Trino's catalog from the Delta logs found in the bucket, and from nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from clients import s3, trino
from errors import ServerError
from lake.tables import SCHEMAS, SCRATCH, TRANSACTIONS, VIEWS, Table, folder, prefix, root, schema_name
from settings import PROJECT_DIR

LOG = "_delta_log/"
TEMPORARY = ("__dbt_tmp", "__dbt_backup", "__wanted")
"""Endings of tables that a broken dbt run may leave behind: never part of the lake."""


def register() -> tuple[list[Table], list[Table]]:
    """Make the schemas and register every table whose Delta log is in the bucket; views come again by dbt.

    Returns (tables registered now, tables that stood already). Safe to repeat. Raises UnreachableError, DeniedError or
    ServerError when Trino or the object storage do not do it.
    """
    for schema in SCHEMAS:
        place = trino.literal(folder(schema))
        wanted = f"{trino.CATALOG}.{schema_name(schema)} with (location = {place})"
        trino.query(f"create schema if not exists {wanted}", admin=True)
    # A table that was made anew in its folder must not be taken for the one that stood there.
    trino.query(f"call {trino.CATALOG}.system.flush_metadata_cache()", admin=True)
    known = _in_catalog("BASE TABLE")
    found = list(tables_in_bucket())
    missing = [table for table in found if (table.schema, table.name) not in known]
    for table in missing:
        arguments = (schema_name(table.schema), table.name, table.path)
        call = f"call {trino.CATALOG}.system.register_table({', '.join(map(trino.literal, arguments))})"
        trino.query(call, admin=True)
    if TRANSACTIONS.name in {table.name for table in found if table.schema == TRANSACTIONS.schema}:
        _restore_views(set(found))
    return missing, [table for table in found if table not in missing]


def tables_in_bucket() -> Iterator[Table]:
    """Yield the tables that have a Delta log under the schemas' folders, by their folders' names."""
    for schema in SCHEMAS:
        home = folder(schema).removeprefix(f"{root()}/") + "/"
        for name in s3.folders(home):
            if name != SCRATCH and not name.endswith(TEMPORARY) and s3.exists(f"{home}{name}/{LOG}"):
                yield Table(schema, name)


def _names(tables: Iterable[Table]) -> set[tuple[str, str]]:
    return {(table.schema, table.name) for table in tables}


def _in_catalog(kind: str) -> set[tuple[str, str]]:
    rows = trino.query(
        f"select table_schema, table_name from {trino.CATALOG}.information_schema.tables where table_type = ?",  # noqa: S608
        [kind],
    )
    return {(schema.removeprefix(prefix()), name) for schema, name in rows if schema.startswith(prefix())}


def _restore_views(found_tables: set[Table]) -> None:
    known = _in_catalog("VIEW")
    # A lake that an older checkout filled may lack a table; its next `dbt run` makes table and view.
    wanted = [view for view, needed in VIEWS.items() if _names(needed) <= _names(found_tables)]
    if all(view in known for view in wanted):
        return
    dbt = Path(sys.executable).with_name("dbt")
    project = PROJECT_DIR / "dbt_project"
    with TemporaryDirectory() as target:
        # Its own folder: an analyst's dbt in the checkout must not trip over ours.
        environment = (
            os.environ
            | trino.variables()
            | {
                "DBT_PROFILES_DIR": str(project),
                "DBT_TARGET_PATH": target,
                "DBT_LOG_PATH": target,
            }
        )
        command = [str(dbt), "--no-use-colors", "run", "--select", *[name for _, name in wanted]]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"the tables are registered, the views are not: `dbt run` said\n{done.stdout[-1500:]}")
