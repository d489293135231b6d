"""Trino: SQL over the lake's Delta tables, one statement at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from requests.exceptions import RequestException
from trino.auth import BasicAuthentication
from trino.dbapi import Connection, connect
from trino.exceptions import (
    DatabaseError,
    TrinoConnectionError,
    TrinoExternalError,
    TrinoQueryError,
)

from errors import DeniedError, ServerError, UnreachableError
from settings import settings

CATALOG = "delta"
CONNECT_S = 10.0
READ_S = 600.0
"""Seconds that one answer of the coordinator may take; a running query answers at least each second."""
Rows = list[tuple[Any, ...]]


@contextmanager
def connection(source: str = "lakehouse") -> Iterator[Connection]:
    """Yield a connection as the settings' user; `source` names the caller in Trino's query list."""
    found = settings()
    password = found.trino_password.get_secret_value()
    opened = connect(
        host=found.trino_host,
        port=found.trino_port,
        user=found.trino_user,
        catalog=CATALOG,
        source=source,
        timezone="UTC",
        # A password over plain HTTP would be readable; Trino refuses it too.
        http_scheme="https" if password else "http",
        auth=BasicAuthentication(found.trino_user, password) if password else None,
        request_timeout=(CONNECT_S, READ_S),
        max_attempts=3,
    )
    try:
        yield opened
    finally:
        opened.close()


def query(sql: str, parameters: Sequence[object] = ()) -> Rows:
    """Run one statement and return all its rows (tuples); a statement without a result returns one row or none.

    Raises UnreachableError when Trino does not answer, DeniedError when it forbids, ServerError with Trino's own words
    for everything else.
    """
    with connection() as opened:
        return run(opened, sql, parameters)


def run(opened: Connection, sql: str, parameters: Sequence[object] = ()) -> Rows:
    """Run one statement on an open connection; errors as in `query`."""
    return described(opened, sql, parameters)[1]


def described(opened: Connection, sql: str, parameters: Sequence[object] = ()) -> tuple[list[str], Rows]:
    """Run one statement on an open connection; returns the columns' names and all rows, errors as in `query`."""
    try:
        cursor = opened.cursor()
        cursor.execute(sql, list(parameters) or None)
        rows = [tuple(row) for row in cursor.fetchall()]
        return [column[0] for column in cursor.description or []], rows
    except (TrinoConnectionError, RequestException) as error:
        address = f"{settings().trino_host}:{settings().trino_port}"
        raise UnreachableError(f"trino {address} does not answer: {error}; see `make status`") from error
    except TrinoQueryError as error:
        raise _mapped(error, sql) from error
    except DatabaseError as error:
        raise ServerError(f"trino: {_short(sql)}: {error}") from error


def literal(text: str) -> str:
    """Return `text` as an SQL string literal, for the places where Trino takes no parameter (DDL, CALL)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _mapped(error: TrinoQueryError, sql: str) -> ServerError:
    text = f"trino: {_short(sql)}: {error.error_name}: {error.message}"
    if error.error_name in {"PERMISSION_DENIED", "ACCESS_DENIED"}:
        return DeniedError(text)
    if isinstance(error, TrinoExternalError) and "Failed to list" in str(error.message):
        return UnreachableError(f"{text}; is the object storage up? see `make status`")
    if error.error_name in {"SERVER_STARTING_UP", "NO_NODES_AVAILABLE"}:
        return UnreachableError(f"{text}; it is starting, try again in a few seconds")
    return ServerError(text)


def _short(sql: str) -> str:
    flat = " ".join(sql.split())
    return flat if len(flat) <= 120 else flat[:117] + "..."
