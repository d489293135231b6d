"""How long decisions are kept: a partition a day of payments, made ahead and dropped when it is over."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import LiteralString

from clients import postgres
from clients.postgres import Connection
from serving.desk.config import AlertsConfig
from serving.desk.sink.row import Row
from serving.desk.sink.writing import LOCK_CHANGES

AHEAD, LATE = timedelta(days=2), timedelta(days=2)
"""Days made ahead; the stream decides payments that are up to two days old, which are kept as long as others."""
DAYS: LiteralString = """
    SELECT to_date(right(relname, 8), 'YYYYMMDD') AS day FROM pg_inherits JOIN pg_class ON oid = inhrelid
    WHERE inhparent = 'decisions'::regclass AND relname ~ '^decisions_[0-9]{8}$' ORDER BY relname"""
STRAY: tuple[LiteralString, ...] = (
    "DELETE FROM decisions_other WHERE decided_at < now() - %(decisions)s AND alert_id IS NULL AND verdict IS NULL",
    "DELETE FROM decisions_other WHERE decided_at < now() - %(alerts)s AND alert_id IS NULL",
    "DELETE FROM dispositions WHERE known_at < now() - %(alerts)s AND alert_id IS NULL",
    "DELETE FROM decision_counts WHERE minute < now() - %(decisions)s",
)
OLD_ALERTS: tuple[LiteralString, ...] = (
    "DELETE FROM dispositions WHERE alert_id = ANY(%s)",
    "DELETE FROM decisions WHERE alert_id = ANY(%s)",
    "DELETE FROM alerts WHERE alert_id = ANY(%s)",
)


def make_days(connection: Connection, rows: Iterable[Row], bounds: AlertsConfig) -> None:
    """See that every day of `rows` that is kept, and those to come, have their partition. Errors are mapped."""
    today = datetime.now(UTC).date()
    wanted = {row["event_time"].date() for row in rows} | {today + timedelta(days=n) for n in range(AHEAD.days + 1)}
    wanted = {day for day in wanted if _first(today, bounds) <= day <= today + AHEAD}
    with postgres.mapped("making partitions of decisions"), connection.transaction():
        for day in sorted(wanted - set(_days(connection))):
            connection.execute("SELECT add_decisions_day(%s)", (day,))


def forget(connection: Connection, bounds: AlertsConfig) -> list[date]:
    """Drop what is older than it is kept; return the days that went. Errors are mapped.

    Payments in alerts, and judged ones, stay as long as alerts do.
    """
    first = _first(datetime.now(UTC).date(), bounds)
    with postgres.mapped("dropping what is too old"):
        with connection.transaction():
            ended = [day for day in _days(connection) if day < first]
        for day in ended:
            with connection.transaction():
                connection.execute("SELECT end_decisions_day(%s)", (day,))
        spans = {"decisions": timedelta(days=bounds.decisions_days), "alerts": timedelta(days=bounds.alerts_days)}
        for statement in STRAY:
            with connection.transaction():
                connection.execute(statement, spans)
        with connection.transaction():
            connection.execute(LOCK_CHANGES)
            old = connection.execute(
                "SELECT alert_id FROM alerts WHERE last_at < now() - %s", (spans["alerts"],)
            ).fetchall()
            for statement in OLD_ALERTS if old else ():
                connection.execute(statement, ([row["alert_id"] for row in old],))
    return ended


def _days(connection: Connection) -> list[date]:
    return [row["day"] for row in connection.execute(DAYS).fetchall()]


def _first(today: date, bounds: AlertsConfig) -> date:
    return today - timedelta(days=bounds.decisions_days) - LATE
