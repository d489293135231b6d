"""Writes decisions into PostgreSQL, joins those not approved to alerts, and forgets what is too old."""

from collections.abc import Sequence
from datetime import timedelta
from typing import LiteralString

from clients import postgres
from clients.postgres import Connection
from serving.desk.config import AlertsConfig
from serving.desk.sink.joining import SPAN, Case, Suspect, join
from serving.desk.sink.row import COLUMNS, Row

LOCK_CHANGES: LiteralString = "SELECT pg_advisory_xact_lock(7250002)"
"""Held by whoever changes an alert until it is committed: changes become visible in the order of their number."""
NAMES: LiteralString = """payment_partition, payment_offset, source, transaction_id, card_id, event_time, decided_at,
    action, decided_by, score, threshold, amount, amount_minor, currency, acceptor, mcc, country, entry_mode, latitude,
    longitude, degraded, model_version, reasons"""
ARRIVED: LiteralString = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS arrived ON COMMIT DELETE ROWS AS SELECT {NAMES} FROM decisions LIMIT 0"""  # noqa: S608 - a constant
COPY: LiteralString = f"COPY arrived ({NAMES}) FROM STDIN"
# The first decision on a payment stands. But one that was approved and, after a crash, decided again as an alert stands
# on `fraud-alerts` too: somebody must see it.
STORE: LiteralString = f"""
    WITH stored AS (
        INSERT INTO decisions AS kept ({NAMES}) SELECT {NAMES} FROM arrived
        ON CONFLICT (payment_partition, payment_offset) DO UPDATE SET
            decided_at = excluded.decided_at, action = excluded.action, decided_by = excluded.decided_by,
            score = excluded.score, threshold = excluded.threshold, degraded = excluded.degraded,
            model_version = excluded.model_version, reasons = excluded.reasons
        WHERE kept.action = 'approve' AND excluded.action <> 'approve'
        RETURNING payment_partition, payment_offset, card_id, event_time, action
    )
    SELECT * FROM stored WHERE action <> 'approve' ORDER BY payment_partition, payment_offset"""  # noqa: S608 - a constant
KNOWN: LiteralString = """
    SELECT alert_id, card_id, opened_at FROM alerts
    WHERE card_id = ANY(%s) AND opened_at > %s AND opened_at < %s"""
OPEN: LiteralString = """
    INSERT INTO alerts (alert_id, card_id, opened_at, last_at, state, action, payments, amount, expected_loss, change)
    VALUES (nextval('alert_ids'), %s, %s, %s, 'open', 'review', 0, 0, 0, nextval('changes')) RETURNING alert_id"""
PUT: LiteralString = """
    UPDATE decisions SET alert_id = %s WHERE (payment_partition, payment_offset) IN (
        SELECT * FROM unnest(%s::int[], %s::bigint[]))"""
# Counted anew each time, so that a repeat changes nothing; a payment that was sent twice counts once.
COUNT: LiteralString = """
    UPDATE alerts SET state = 'open', change = nextval('changes'), payments = counted.payments, amount = counted.amount,
        expected_loss = counted.expected_loss, max_score = counted.max_score, last_at = counted.last_at,
        action = (ARRAY['review', 'step_up', 'block'])[counted.strictest]
    FROM (
        SELECT alert_id, count(*) AS payments, coalesce(sum(amount), 0) AS amount,
            coalesce(sum(coalesce(score, 1) * amount), 0) AS expected_loss, max(score) AS max_score,
            max(event_time) AS last_at, max(array_position(ARRAY['review', 'step_up', 'block'], action)) AS strictest
        FROM (
            SELECT DISTINCT ON (alert_id, source, transaction_id) * FROM decisions WHERE alert_id = ANY(%s)
            ORDER BY alert_id, source, transaction_id, payment_partition, payment_offset
        ) AS each_once GROUP BY alert_id
    ) AS counted
    WHERE alerts.alert_id = counted.alert_id"""
FORGET: LiteralString = """
    DELETE FROM decisions WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM decisions WHERE decided_at < now() - %s AND alert_id IS NULL LIMIT 20000))"""
FORGET_ALERTS: tuple[LiteralString, ...] = (
    "DELETE FROM dispositions WHERE alert_id = ANY(%s)",
    "DELETE FROM decisions WHERE alert_id = ANY(%s)",
    "DELETE FROM alerts WHERE alert_id = ANY(%s)",
)


def store(connection: Connection, rows: Sequence[Row]) -> int:
    """Write decisions in one transaction; return how many payments were new in alerts. Errors are mapped.

    Repeats, in one call or over calls, change nothing.
    """
    once: dict[tuple[int, int], Row] = {}
    for row in rows:
        place, action = (row[0], row[1]), row[COLUMNS.index("action")]
        if place not in once or (once[place][COLUMNS.index("action")] == "approve" != action):
            once[place] = row
    with postgres.mapped(f"storing {len(once)} decisions"), connection.transaction():
        connection.execute(ARRIVED)
        with connection.cursor() as cursor:
            with cursor.copy(COPY) as copy:
                for row in once.values():
                    copy.write_row(row)
            found = cursor.execute(STORE).fetchall()
        suspects = [
            Suspect((r["payment_partition"], r["payment_offset"]), r["card_id"], r["event_time"]) for r in found
        ]
        if suspects:
            _join(connection, suspects)
    return len(suspects)


def _join(connection: Connection, suspects: Sequence[Suspect]) -> None:
    connection.execute(LOCK_CHANGES)
    cards = list({suspect.card_id for suspect in suspects})
    times = [suspect.event_time for suspect in suspects]
    found = connection.execute(KNOWN, (cards, min(times) - SPAN, max(times) + SPAN)).fetchall()
    known = [Case(row["card_id"], row["opened_at"], row["alert_id"]) for row in found]
    touched = join(known, suspects)
    for case in touched:
        if case.alert_id is None:
            opened = connection.execute(OPEN, (case.card_id, case.opened_at, case.opened_at)).fetchone()
            case.alert_id = opened["alert_id"] if opened else None
        partitions, offsets = zip(*case.joined, strict=True)
        connection.execute(PUT, (case.alert_id, list(partitions), list(offsets)))
    connection.execute(COUNT, ([case.alert_id for case in touched],))


def forget(connection: Connection, bounds: AlertsConfig) -> int:
    """Delete what is older than it is kept; return how many decisions went. Errors are mapped."""
    gone = 0
    with postgres.mapped("deleting what is too old"):
        deleted = 1
        while deleted:
            with connection.transaction():
                deleted = connection.execute(FORGET, (timedelta(days=bounds.decisions_days),)).rowcount
            gone += deleted
        with connection.transaction():
            connection.execute(LOCK_CHANGES)
            old = connection.execute(
                "SELECT alert_id FROM alerts WHERE last_at < now() - %s", (timedelta(days=bounds.alerts_days),)
            ).fetchall()
            for statement in FORGET_ALERTS if old else ():
                connection.execute(statement, ([row["alert_id"] for row in old],))
    return gone
