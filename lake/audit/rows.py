"""Rows of a table as one of its versions has them, asked of Trino."""

from typing import Any

from clients import trino
from errors import InputError, ServerError
from lake.audit import log
from lake.audit.log import Version
from lake.audit.subjects import Condition, Subject

Row = dict[str, Any]
GONE = ("NoSuchKey", "Error opening", "does not exist", "not found", "Failed to open", "No such")
"""What Trino says of a file that a vacuum took, or of a version whose log is gone."""


def at(subject: Subject, version: Version, condition: Condition, limit: int | None = None) -> list[Row]:
    """Return the rows that meet `condition` in `version`, in the order of the key's last column, newest first.

    Raises InputError when the version's files are gone.
    """
    order = trino.identifier(subject.key[-1])
    cut = f" limit {limit}" if limit else ""
    sql = f"select * from {source(subject, version)} where {condition.sql} order by {order} desc{cut}"  # noqa: S608
    return ask(subject, version, sql, condition.parameters)


def source(subject: Subject, version: Version) -> str:
    """Return the table at a version as SQL names it."""
    return f"{trino.CATALOG}.{subject.table.sql_name} for version as of {version.number}"


def ask(subject: Subject, version: Version, sql: str, parameters: tuple[object, ...]) -> list[Row]:
    """Run a query that reads `version`; a version that cannot be read is an InputError that names the oldest one."""
    try:
        with trino.connection("audit") as opened:
            names, rows = trino.described(opened, sql, parameters)
    except ServerError as error:
        if not any(sign in str(error) for sign in GONE):
            raise
        kept = log.oldest_readable(subject.table)
        if kept.number <= version.number:
            raise
        raise InputError(
            f"{version} of {subject.table} can no longer be read: a vacuum has removed its files. "
            f"The oldest that can is {kept}; 30 days are kept"
        ) from error
    return [dict(zip(names, row, strict=True)) for row in rows]
