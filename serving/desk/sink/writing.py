"""Writes decisions into PostgreSQL: each once, counted by the minute, and what was not approved in an alert."""

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString

from clients import postgres
from clients.postgres import Connection
from serving.desk.money import decimals
from serving.desk.sink.joining import SPAN, Case, Suspect, join
from serving.desk.sink.row import COLUMNS, NAMES, Row

LOCK_CHANGES: LiteralString = "SELECT pg_advisory_xact_lock(7250002)"
"""Held by whoever changes an alert until it is committed: changes become visible in the order of their number."""
ARRIVED: LiteralString = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS arrived ON COMMIT DELETE ROWS AS SELECT {NAMES} FROM decisions LIMIT 0"""  # noqa: S608 - a constant
COPY: LiteralString = f"COPY arrived ({NAMES}) FROM STDIN"
COUNTED: LiteralString = """
    counted AS (
        INSERT INTO decision_counts AS known
            (minute, source, action, decided_by, decided, degraded, unpriced, amount)
        SELECT date_trunc('minute', decided_at), source, action, decided_by, sum(one),
            coalesce(sum(one) FILTER (WHERE degraded), 0), coalesce(sum(one) FILTER (WHERE amount IS NULL), 0),
            coalesce(sum(one * amount), 0)
        FROM changed GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        ON CONFLICT (minute, source, action, decided_by) DO UPDATE SET decided = known.decided + excluded.decided,
            degraded = known.degraded + excluded.degraded, unpriced = known.unpriced + excluded.unpriced,
            amount = known.amount + excluded.amount
    )"""
STORE: LiteralString = f"""
    WITH stored AS (
        INSERT INTO decisions ({NAMES}) SELECT {NAMES} FROM arrived ON CONFLICT (event_time, decision_id) DO NOTHING
        RETURNING decision_id, card_id, event_time, decided_at, source, action, decided_by, degraded, amount
    ), changed AS (SELECT 1 AS one, * FROM stored), {COUNTED}
    SELECT decision_id, card_id, event_time FROM stored WHERE action <> 'approve' ORDER BY decided_at, decision_id"""  # noqa: S608 - a constant
# The first decision on a payment stands. But one that was approved and, after a crash, decided again as an alert stands
# on `fraud-alerts` too: somebody must see it.
AGAIN: LiteralString = f"""
    WITH before AS (
        SELECT event_time, decision_id, decided_at, source, action, decided_by, degraded, amount FROM decisions
        WHERE event_time = %(event_time)s AND decision_id = %(decision_id)s AND action = 'approve' FOR UPDATE
    ), stored AS (
        UPDATE decisions AS kept SET decided_at = %(decided_at)s, action = %(action)s, decided_by = %(decided_by)s,
            score = %(score)s, threshold = %(threshold)s, degraded = %(degraded)s,
            model_version = %(model_version)s, reasons = %(reasons)s
        FROM before WHERE (kept.event_time, kept.decision_id) = (before.event_time, before.decision_id)
        RETURNING kept.decision_id, kept.card_id, kept.event_time, kept.decided_at, kept.source, kept.action,
            kept.decided_by, kept.degraded, kept.amount
    ), changed AS (
        SELECT 1 AS one, decided_at, source, action, decided_by, degraded, amount FROM stored
        UNION ALL SELECT -1, decided_at, source, action, decided_by, degraded, amount FROM before
    ), {COUNTED}
    SELECT decision_id, card_id, event_time FROM stored"""  # noqa: S608 - a constant
KNOWN: LiteralString = """
    SELECT alert_id, card_id, opened_at FROM alerts
    WHERE card_id = ANY(%s) AND opened_at > %s AND opened_at < %s"""
OPEN: LiteralString = """
    INSERT INTO alerts (alert_id, card_id, opened_at, last_at, state, action, payments, amount, expected_loss, change)
    VALUES (nextval('alert_ids'), %s, %s, %s, 'open', 'review', 0, 0, 0, nextval('changes')) RETURNING alert_id"""
NEW: LiteralString = "event_time = ANY(%(times)s) AND decision_id = ANY(%(ids)s)"
PUT: LiteralString = f"UPDATE decisions SET alert_id = %(alert_id)s WHERE {NEW}"  # noqa: S608 - a constant
# A verdict is on a payment: one that was sent twice has it on both of its decisions.
JUDGED: LiteralString = f"""
    UPDATE decisions AS kept SET verdict = earlier.verdict
    FROM (SELECT card_id, source, transaction_id FROM decisions WHERE {NEW}) AS new
    JOIN decisions AS earlier USING (card_id, source, transaction_id)
    WHERE earlier.verdict IS NOT NULL AND kept.verdict IS NULL
        AND kept.event_time = ANY(%(times)s) AND kept.decision_id = ANY(%(ids)s)
        AND (kept.card_id, kept.source, kept.transaction_id) = (new.card_id, new.source, new.transaction_id)"""  # noqa: S608 - a constant
# Payments that their alert had not, and that nobody judged: these open it again, a payment sent twice does not.
REOPEN: LiteralString = f"""
    SELECT DISTINCT alert_id FROM decisions AS new WHERE {NEW} AND verdict IS NULL AND NOT EXISTS (
        SELECT FROM decisions AS had WHERE had.alert_id = new.alert_id
            AND (had.source, had.transaction_id) = (new.source, new.transaction_id)
            AND NOT (had.event_time = ANY(%(times)s) AND had.decision_id = ANY(%(ids)s)))"""  # noqa: S608 - a constant
# Counted anew each time, so that a repeat changes nothing; a payment that was sent twice counts once.
COUNT: LiteralString = """
    WITH once AS (
        SELECT DISTINCT ON (alert_id, source, transaction_id) alert_id, source, transaction_id, event_time, decided_at,
            decision_id, action, score, amount, reasons, coalesce(score, 1)::numeric * amount AS loss
        FROM decisions WHERE alert_id = ANY(%(alerts)s) AND event_time BETWEEN %(first)s AND %(last)s
        ORDER BY alert_id, source, transaction_id, decided_at, decision_id
    ), counted AS (
        SELECT alert_id, count(*) AS payments, count(*) FILTER (WHERE amount IS NULL) AS unpriced,
            coalesce(sum(amount), 0) AS amount, round(coalesce(sum(loss), 0), %(decimals)s) AS expected_loss,
            max(score) AS max_score, max(event_time) AS last_at,
            max(array_position(ARRAY['review', 'step_up', 'block'], action)) AS strictest
        FROM once GROUP BY alert_id
    ), costliest AS (
        SELECT DISTINCT ON (alert_id) alert_id, source, transaction_id, reasons FROM once
        ORDER BY alert_id, loss DESC NULLS FIRST, decided_at, decision_id
    )
    UPDATE alerts SET state = CASE WHEN alerts.alert_id = ANY(%(reopened)s) THEN 'open' ELSE state END,
        change = nextval('changes'), payments = counted.payments, unpriced = counted.unpriced, amount = counted.amount,
        expected_loss = counted.expected_loss, max_score = counted.max_score, last_at = counted.last_at,
        action = (ARRAY['review', 'step_up', 'block'])[counted.strictest], source = costliest.source,
        transaction_id = costliest.transaction_id, reasons = costliest.reasons
    FROM counted JOIN costliest USING (alert_id) WHERE alerts.alert_id = counted.alert_id"""


def store(connection: Connection, rows: Sequence[Row]) -> int:
    """Write decisions in one transaction; return how many of them were new in alerts. Errors are mapped.

    Repeats, in one call or over calls, change nothing. RejectedError: PostgreSQL does not take one of them.
    """
    once: dict[str, Row] = {}
    for row in rows:
        known = once.setdefault(row["decision_id"], row)
        if known["action"] == "approve" != row["action"]:
            once[row["decision_id"]] = row
    with postgres.mapped(f"storing {len(once)} decisions"), connection.transaction():
        connection.execute(ARRIVED)
        with connection.cursor() as cursor:
            with cursor.copy(COPY) as copy:
                for row in once.values():
                    copy.write_row([row[name] for name in COLUMNS])
            found = cursor.execute(STORE).fetchall()
            new = {each["decision_id"] for each in found}
            for row in once.values():
                if row["action"] != "approve" and row["decision_id"] not in new:
                    found += cursor.execute(AGAIN, row).fetchall()
        suspects = [Suspect(each["decision_id"], each["card_id"], each["event_time"]) for each in found]
        if suspects:
            _join(connection, suspects)
    return len(suspects)


def _join(connection: Connection, suspects: Sequence[Suspect]) -> None:
    connection.execute(LOCK_CHANGES)
    cards = list({suspect.card_id for suspect in suspects})
    times = [suspect.event_time for suspect in suspects]
    found = connection.execute(KNOWN, (cards, min(times) - SPAN, max(times) + SPAN)).fetchall()
    touched = join([Case(row["card_id"], row["opened_at"], row["alert_id"]) for row in found], suspects)
    for case in touched:
        if case.alert_id is None:
            opened = connection.execute(OPEN, (case.card_id, case.opened_at, case.opened_at)).fetchone()
            case.alert_id = opened["alert_id"] if opened else None
        connection.execute(PUT, _new(case.joined) | {"alert_id": case.alert_id})
    new = _new(suspects)
    connection.execute(JUDGED, new)
    reopened = [row["alert_id"] for row in connection.execute(REOPEN, new).fetchall()]
    opened_at = [case.opened_at for case in touched]
    counted = {
        "alerts": [case.alert_id for case in touched],
        "reopened": reopened,
        "first": min(opened_at) - SPAN,
        "last": max(opened_at) + SPAN,
        "decimals": decimals(),
    }
    connection.execute(COUNT, counted)


def _new(suspects: Iterable[Suspect]) -> dict[str, Any]:
    found = list(suspects)
    return {"ids": [each.decision_id for each in found], "times": [each.event_time for each in found]}
