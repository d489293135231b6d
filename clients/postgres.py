"""PostgreSQL, the alerts' history: one connection for the sink, a small pool for the desk, its errors mapped once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import errors
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from errors import DeniedError, RefusedValueError, ServerError, UnreachableError
from settings import settings

CONNECT_S = 3
STATEMENT_MS = 5_000
BULK_STATEMENT_MS = 60_000
WAIT_S = 2.0
"""How long a request waits for a connection: PostgreSQL away must be told soon."""
LARGEST_POOL = 4
TEXTS: dict[str, LiteralString] = {
    "decisions": "SELECT source, transaction_id, card_id, acceptor, model_version, reasons::text FROM decisions",
    "dispositions": "SELECT by, note, payments::text FROM dispositions",
    "refused_decisions": "SELECT reason, encode(message, 'escape') AS message FROM refused_decisions",
}
Row = dict[str, Any]
Connection = psycopg.Connection[Row]
AsyncConnection = psycopg.AsyncConnection[Row]
Pool = AsyncConnectionPool[AsyncConnection]


def connect() -> Connection:
    """Return a connection for bulk work; rows are dicts. Errors are mapped as in `mapped`."""
    with mapped("connecting"):
        return psycopg.connect(_url(), row_factory=dict_row, **_options("alerts-sink", BULK_STATEMENT_MS))


def everything() -> Iterator[tuple[str, str]]:
    """Yield the table and every text of each row of the alerts' history; nothing if there are no tables yet."""
    with connect() as connection, mapped("reading every text"):
        for table, statement in TEXTS.items():
            found = connection.execute("SELECT to_regclass(%s) AS there", (table,)).fetchone()
            if found is None or found["there"] is None:
                continue
            with connection.cursor(f"every_{table}") as cursor:
                cursor.itersize = 5_000
                for row in cursor.execute(statement):
                    yield from ((f"{table} {name}", str(value)) for name, value in row.items() if value is not None)


def pool() -> Pool:
    """Return a pool that is not open yet and holds no connection until one is asked for; rows are dicts."""
    return AsyncConnectionPool(
        _url(),
        connection_class=AsyncConnection,
        kwargs={"row_factory": dict_row, **_options("desk", STATEMENT_MS)},
        min_size=0,
        max_size=LARGEST_POOL,
        open=False,
        timeout=WAIT_S,
        reconnect_timeout=WAIT_S,
        # One that broke while nobody used it is replaced, not handed out.
        check=AsyncConnectionPool.check_connection,
    )


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Turn the vendor's errors into ours; `doing` says what was being done.

    UnreachableError: it does not answer, or not yet; DeniedError: it refuses our user; RefusedValueError: a value is at
    fault; ServerError: anything else, such as a database that is read-only or lacks a table.
    Of an error only its first line is told: the others may hold values.
    """
    try:
        yield
    except (PoolTimeout, PoolClosed, errors.QueryCanceled, errors.OperatorIntervention, TimeoutError) as error:
        raise UnreachableError(f"postgres {_address()} does not answer ({doing}); see `make status`") from error
    except (errors.InsufficientPrivilege, errors.InvalidAuthorizationSpecification) as error:
        raise DeniedError(f"postgres {_address()}: {doing}: {_line(error)}; check ALERTS_DATABASE_URL") from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RefusedValueError(f"postgres {_address()}: {doing}: {_line(error)}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if "authentication failed" in str(error):
            raise DeniedError(f"postgres {_address()}: {doing}: {_line(error)}; check ALERTS_DATABASE_URL") from error
        text = f"postgres {_address()} does not answer ({doing}): {_line(error)}; see `make status`"
        raise UnreachableError(text) from error
    except psycopg.Error as error:
        raise ServerError(f"postgres {_address()}: {doing}: {_line(error)}") from error


def _options(name: str, statement_ms: int) -> dict[str, Any]:
    return {
        "application_name": name,
        "connect_timeout": CONNECT_S,
        "options": f"-c statement_timeout={statement_ms} -c timezone=UTC",
        # A server that vanished with its machine is noticed in seconds, not hours.
        "tcp_user_timeout": 10_000,
    }


def _url() -> str:
    return settings().alerts_database_url.get_secret_value()


def _address() -> str:
    return _url().rpartition("@")[2]  # never the password


def _line(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error)
    return (said.strip().splitlines() or [type(error).__name__])[0][:200]
