"""Brings the database to the newest schema: each numbered SQL file once, in order, whole or not at all."""

from pathlib import Path

from clients import postgres
from clients.postgres import Connection

FOLDER = Path(__file__).with_name("schema")
LOCK = 7_250_001
"""Two that start together must not both apply a file."""


def migrate(connection: Connection) -> int:
    """Apply the files that this database has not seen and return the newest one's number; errors are mapped."""
    with postgres.mapped("bringing the schema up to date"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        connection.execute("SET LOCAL statement_timeout = 0")  # moving what is there takes as long as it takes
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)"
        )
        row = connection.execute("SELECT coalesce(max(version), 0) AS newest FROM schema_version").fetchone()
        newest = int(row["newest"]) if row else 0
        for path in sorted(FOLDER.glob("*.sql")):
            number = int(path.name.partition("_")[0])
            if number > newest:
                connection.execute(path.read_bytes())
                connection.execute("INSERT INTO schema_version VALUES (%s, now())", (number,))
                newest = number
    return newest
