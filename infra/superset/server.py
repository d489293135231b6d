"""Superset as one of our processes: its environment's programs, its variables, and its tables made once."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from errors import LakehouseError
from infra.native.fetching import fetch, servers
from infra.native.paths import Home
from infra.native.stackenv import as_user, without_stack

Env = Mapping[str, str]
INSIDE = Path(__file__).parent / "inside"
FIRST_START = INSIDE / "first_start.py"
THREADS = 8
TRINO_USER = "superset"
OURS = ("SUPERSET_SECRET_KEY", "SUPERSET_DATABASE_URL", "TRINO_HOST", "TRINO_PORT", "TRINO_CA")


def arguments(env: Env) -> list[str]:
    """Return the command line of the server: one process, whose threads wait for Trino."""
    port = env["SUPERSET_PORT"]
    return [
        str(_python()),
        "-m",
        "gunicorn",
        "--workers",
        "1",
        "--worker-class",
        "gthread",
        "--threads",
        str(THREADS),
        "--timeout",
        "120",
        "--graceful-timeout",
        "10",
        "--bind",
        f"127.0.0.1:{port}",
        "superset.app:create_app()",
    ]


def environment(home: Home, env: Env) -> dict[str, str]:
    """Return what Superset's configuration reads; with whom it goes to Trino is decided here alone."""
    variables = {name: env[name] for name in OURS} | as_user(env, TRINO_USER)
    return variables | {
        "REQUESTS_CA_BUNDLE": env["TRINO_CA"],  # it asks nobody but Trino
        "SUPERSET_CONFIG_PATH": str(INSIDE / "superset_config.py"),
        "SUPERSET_HOME": str(home.data("superset")),
        "TZ": "UTC",  # Trino's client reads a time without a zone, as in a filter, in the zone of its process
    }


def prepare(home: Home, env: Env) -> None:
    """Make or bring up to date Superset's tables, unless its database says that this version did.

    Raises LakehouseError with the end of Superset's words.
    """
    import psycopg
    from psycopg import sql

    if fetch.missing([servers.SUPERSET]):
        raise LakehouseError("Superset is not fetched yet; `make up superset` fetches and starts it")
    wanted = hashlib.sha256(fetch.folder(servers.SUPERSET).name.encode() + FIRST_START.read_bytes()).hexdigest()
    with psycopg.connect(env["SUPERSET_DATABASE_URL"], autocommit=True) as database:
        # The mark lies in what it is about, and is gone with it.
        row = database.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        if row == (wanted,):
            return
        print("superset: making its tables and permissions, about a minute", flush=True)
        done = subprocess.run(
            [str(_python()), str(FIRST_START)],
            env=without_stack() | environment(home, env) | {"SUPERSET_PASSWORD": env["SUPERSET_PASSWORD"]},
            cwd=home.data("superset"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LakehouseError(f"Superset's tables could not be made: {(done.stdout + done.stderr).strip()[-800:]}")
        database.execute(sql.SQL("COMMENT ON DATABASE superset IS {}").format(sql.Literal(wanted)))


def _python() -> Path:
    return fetch.folder(servers.SUPERSET) / "bin" / "python"
