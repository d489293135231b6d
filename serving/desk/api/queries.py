"""What the API and the console read of PostgreSQL."""

from datetime import datetime
from typing import Any, LiteralString

from clients.postgres import AsyncConnection
from serving.desk.api import cursor as cursors
from serving.desk.api.models import AlertAction, Order, State
from serving.http.problems import ProblemError

Row = dict[str, Any]
STRICT: LiteralString = "array_position(ARRAY['review', 'step_up', 'block'], %s)"
ALERT: LiteralString = """
    SELECT a.alert_id, top.transaction_id, top.source, a.card_id, a.state, a.action, a.opened_at, a.last_at,
        a.payments, a.amount, a.expected_loss, a.max_score, top.reasons, a.change
    FROM alerts AS a CROSS JOIN LATERAL (
        SELECT d.source, d.transaction_id, d.reasons FROM decisions AS d WHERE d.alert_id = a.alert_id
        ORDER BY coalesce(coalesce(d.score, 1) * d.amount, 0) DESC, d.payment_partition, d.payment_offset LIMIT 1
    ) AS top"""
FILTERS: LiteralString = """
    WHERE (%(state)s::text IS NULL OR a.state = %(state)s) AND (%(action)s::text IS NULL OR a.action = %(action)s)
        AND (%(min_score)s::float8 IS NULL OR a.max_score >= %(min_score)s)
        AND (%(since)s::timestamptz IS NULL OR a.last_at >= %(since)s)"""
ORDERED: dict[Order, LiteralString] = {
    "recent": " AND (%(number)s::bigint IS NULL OR a.alert_id < %(number)s) ORDER BY a.alert_id DESC",
    "loss": """ AND (%(number)s::bigint IS NULL OR (a.expected_loss, a.alert_id) < (%(loss)s, %(number)s))
        ORDER BY a.expected_loss DESC, a.alert_id DESC""",
}
PAYMENT: LiteralString = """
    SELECT source, transaction_id, event_time, decided_at, action, decided_by, score, amount, amount_minor, currency,
        acceptor, mcc, country, entry_mode, latitude, longitude, degraded, reasons, alert_id, verdict
    FROM decisions"""


async def page(
    connection: AsyncConnection,
    order: Order,
    limit: int,
    cursor: str | None = None,
    *,
    state: State | None = None,
    action: AlertAction | None = None,
    min_score: float | None = None,
    since: datetime | None = None,
) -> tuple[list[Row], str | None]:
    """Return alerts in `order` and the cursor of the next page; ProblemError 422 for a cursor of something else."""
    loss, number = cursors.unpack(order, cursor)
    asked = {
        "state": state,
        "action": action,
        "min_score": min_score,
        "since": since,
        "loss": loss,
        "number": number,
        "limit": limit + 1,
    }
    found = await (await connection.execute(ALERT + FILTERS + ORDERED[order] + " LIMIT %(limit)s", asked)).fetchall()
    rows, more = found[:limit], len(found) > limit
    last = cursors.pack(order, rows[-1]["expected_loss"], rows[-1]["alert_id"]) if more else None
    return rows, last


async def alert(connection: AsyncConnection, alert_id: int) -> Row:
    """Return one alert by its own number."""
    found = await (await connection.execute(ALERT + " WHERE a.alert_id = %s", (alert_id,))).fetchone()
    if found is None:
        raise ProblemError(404, "no_alert", "there is no such alert; alerts are forgotten after ALERTS_ALERTS_DAYS")
    return found


async def alert_of(connection: AsyncConnection, transaction_id: str, source: str | None) -> tuple[Row, Row]:
    """Return a payment in an alert, and the alert; ProblemError 404: none, 409: payments of several sources."""
    statement = (
        PAYMENT
        + """
        WHERE transaction_id = %s AND alert_id IS NOT NULL AND (%s::text IS NULL OR source = %s)
        ORDER BY payment_partition, payment_offset DESC"""
    )
    found = await (await connection.execute(statement, (transaction_id, source, source))).fetchall()
    if not found:
        raise ProblemError(
            404,
            "no_alert",
            "no alert has a payment of this transaction_id: it was approved, is not decided yet, or is long past",
        )
    if len({row["source"] for row in found}) > 1:
        raise ProblemError(409, "ambiguous", "payments of several sources have this transaction_id: name the source")
    return found[0], await alert(connection, found[0]["alert_id"])


async def payments_of(connection: AsyncConnection, alert_id: int) -> list[Row]:
    """Return an alert's payments, oldest first."""
    statement = PAYMENT + " WHERE alert_id = %s ORDER BY event_time, payment_partition, payment_offset"
    return await (await connection.execute(statement, (alert_id,))).fetchall()


async def payments_of_card(connection: AsyncConnection, card_id: str, limit: int) -> list[Row]:
    """Return a card's last payments, newest first."""
    statement = PAYMENT + " WHERE card_id = %s ORDER BY event_time DESC, payment_offset DESC LIMIT %s"
    return await (await connection.execute(statement, (card_id, limit))).fetchall()


async def alerts_of_card(connection: AsyncConnection, card_id: str) -> list[Row]:
    """Return a card's alerts, newest first."""
    statement = ALERT + " WHERE a.card_id = %s ORDER BY a.opened_at DESC LIMIT 50"
    return await (await connection.execute(statement, (card_id,))).fetchall()


async def dispositions_of(connection: AsyncConnection, alert_id: int) -> list[Row]:
    """Return what was said of an alert, newest first."""
    statement = """SELECT verdict, by, note, known_at, payments, sent_at FROM dispositions WHERE alert_id = %s
        ORDER BY disposition_id DESC"""
    return await (await connection.execute(statement, (alert_id,))).fetchall()


async def changes(connection: AsyncConnection, after: int, limit: int) -> list[Row]:
    """Return alerts that changed after the change `after`, in the order of their changes, each as it is now."""
    statement = ALERT + " WHERE a.change > %s ORDER BY a.change LIMIT %s"
    return await (await connection.execute(statement, (after, limit))).fetchall()


async def last_change(connection: AsyncConnection) -> int:
    """Return the number of the newest change, 0 if there was none."""
    row = await (await connection.execute("SELECT coalesce(max(change), 0) AS newest FROM alerts")).fetchone()
    return int(row["newest"]) if row else 0
