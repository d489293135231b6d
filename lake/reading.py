"""Reads the lake's tables straight from Delta, without Trino, as Arrow: for bulk, with the reader's key."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow.parquet import filters_to_expression

from clients import delta
from errors import DeniedError, InputError, ServerError, UnreachableError
from lake.tables import Table
from settings import settings

Filters = list[tuple[str, str, Any]]
DENIED = ("403 Forbidden", "AccessDenied", "ACCESS_DENIED", "InvalidAccessKeyId", "SignatureDoesNotMatch")
UNREACHABLE = (
    "error sending request",
    "Connection refused",
    "timed out",
    "tcp connect",
    "dns error",
    "NETWORK_CONNECTION",
)


def open_table(table: Table, version: int | None = None) -> DeltaTable:
    """Open `table` at `version` (the newest when None).

    Raises InputError when it is not there, UnreachableError or DeniedError when the storage does not let us.
    """
    try:
        return DeltaTable(table.path, version=version, storage_options=delta.options())
    except TableNotFoundError as error:
        raise InputError(
            f"{table} is not at {table.path}: Bronze comes from the stream, Silver and Gold from "
            f"`dbt build` in dbt_project"
        ) from error
    except (DeltaError, OSError) as error:
        raise mapped(error, table) from error


def exists(table: Table) -> bool:
    """Say whether `table` has a Delta log; errors of the storage as in `open_table`."""
    try:
        return bool(DeltaTable.is_deltatable(table.path, delta.options()))
    except (DeltaError, OSError) as error:
        raise mapped(error, table) from error


def read(table: Table | DeltaTable, columns: Sequence[str] | None = None, filters: Filters | None = None) -> pa.Table:
    """Return the rows of `table` that pass every filter (column, operator, value), only `columns` of them.

    Files that hold none such, as the log knows them, are not read. Operators: = != < <= > >= in, not in.
    """
    opened = open_table(table) if isinstance(table, Table) else table
    wanted = filters_to_expression(filters) if filters else None
    try:
        return delta.dataset(opened).to_table(columns=list(columns) if columns else None, filter=wanted)
    except (DeltaError, OSError) as error:
        raise mapped(error, opened.table_uri) from error


def newest_day(opened: DeltaTable, column: str, until: date | None = None) -> date | None:
    """Return the newest day in a date column, not after `until`; None when there is none.

    Each file's least day stands in the log and in one of its rows: only files with later days are read.
    """
    files = pa.table(opened.get_add_actions(flatten=True))
    least = next((name for name in (f"min.{column}", f"partition.{column}") if name in files.column_names), None)
    starts = [day for day in files[least].to_pylist() if day and (until is None or day <= until)] if least else []
    days: Filters = [(column, ">=", max(starts))] if starts else []
    days += [(column, "<=", until)] if until else []
    found: date = pc.max(read(opened, [column], days)[column]).as_py()
    return found


def mapped(error: Exception, what: object) -> ServerError:
    """Return our error for one of delta-rs or Arrow while reading `what`."""
    text = str(error)
    if any(sign in text for sign in DENIED):
        return DeniedError(f"object storage refuses our key for {what}: see AWS_ACCESS_KEY_ID in `make env`")
    if any(sign in text for sign in UNREACHABLE):
        return UnreachableError(f"object storage {settings().s3_endpoint} does not answer ({what}); see `make status`")
    return ServerError(f"reading {what}: {text}")
