"""Trino: SQL over the lake's Delta tables, one statement at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from requests import Session
from requests.exceptions import RequestException
from trino.auth import BasicAuthentication
from trino.dbapi import Connection, connect
from trino.exceptions import (
    DatabaseError,
    HttpError,
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


ADMIN = "admin"
"""The user that makes schemas and registers tables."""


def login(user: str, password: str, authority: str) -> dict[str, Any]:
    """Return what `connect` needs to enter as `user`: over TLS with a password, plainly by name without one.

    `authority`: file with the certificate that signs the server's; empty: those that this machine trusts.
    """
    if not password:
        return {"user": user, "http_scheme": "http"}
    session = Session()
    # Else REQUESTS_CA_BUNDLE, where it is set, would count instead of `verify`.
    session.trust_env = not authority
    session.verify = authority or True
    return {"user": user, "http_scheme": "https", "http_session": session, "auth": BasicAuthentication(user, password)}


@contextmanager
def connection(source: str = "lakehouse", *, admin: bool = False) -> Iterator[Connection]:
    """Yield a connection as the settings' user, or as Trino's administrator.

    `source` names the caller in Trino's query list.
    """
    found = settings()
    user, password = (ADMIN, found.trino_admin_password) if admin else (found.trino_user, found.trino_password)
    opened = connect(
        host=found.trino_host,
        port=found.trino_port,
        catalog=CATALOG,
        source=source,
        timezone="UTC",
        request_timeout=(CONNECT_S, READ_S),
        max_attempts=3,
        **login(user, password.get_secret_value(), found.trino_ca),
    )
    try:
        yield opened
    finally:
        opened.close()


def query(sql: str, parameters: Sequence[object] = (), *, admin: bool = False) -> Rows:
    """Run one statement and return all its rows (tuples); a statement without a result returns one row or none.

    Raises UnreachableError when Trino does not answer, DeniedError when it forbids, ServerError with Trino's own words
    for everything else.
    """
    with connection(admin=admin) as opened:
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
    except HttpError as error:
        raise _refused(error) from error
    except DatabaseError as error:
        raise ServerError(f"trino: {_short(sql)}: {error}") from error


def variables() -> dict[str, str]:
    """Return the environment by which dbt, as a child process, enters Trino as the settings' user."""
    found = settings()
    names = {
        "TRINO_HOST": found.trino_host,
        "TRINO_PORT": str(found.trino_port),
        "TRINO_USER": found.trino_user,
        "TRINO_PASSWORD": found.trino_password.get_secret_value(),
        "TRINO_CA": found.trino_ca,
        "S3_BUCKET": found.s3_bucket,
    }
    return names | ({"REQUESTS_CA_BUNDLE": found.trino_ca} if found.trino_ca else {})


def literal(text: str) -> str:
    """Return `text` as an SQL string literal, for the places where Trino takes no parameter (DDL, CALL)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _mapped(error: TrinoQueryError, sql: str) -> ServerError:
    text = f"trino: {_short(sql)}: {error.error_name}: {error.message}"
    if error.error_name in {"PERMISSION_DENIED", "QUERY_REJECTED"}:
        return DeniedError(f"{text}; who may do what stands in docs/operator.md")
    if isinstance(error, TrinoExternalError) and "Failed to list" in str(error.message):
        return UnreachableError(f"{text}; is the object storage up? see `make status`")
    if error.error_name in {"SERVER_STARTING_UP", "NO_NODES_AVAILABLE"}:
        return UnreachableError(f"{text}; it is starting, try again in a few seconds")
    return ServerError(text)


def _refused(error: HttpError) -> ServerError:
    who = settings().trino_user
    if "401" in str(error):
        return DeniedError(
            f"trino: {who} and its password are not known there; set TRINO_USER and TRINO_PASSWORD, or "
            'eval "$(make -s env AS=analyst)"'
        )
    return ServerError(f"trino: {error}")


def _short(sql: str) -> str:
    flat = " ".join(sql.split())
    return flat if len(flat) <= 120 else flat[:117] + "..."
