"""What the API and the console read of alerts in PostgreSQL."""

from datetime import datetime
from typing import Any, LiteralString

from clients.postgres import AsyncConnection
from serving.desk.api import cursor as cursors
from serving.desk.api.models import AlertAction, Order, State
from serving.desk.sink.joining import SPAN
from serving.http.problems import ProblemError

Row = dict[str, Any]
ALERT: LiteralString = """
    SELECT alert_id, transaction_id, source, card_id, state, action, opened_at, last_at, payments, unpriced,
        CASE WHEN unpriced < payments THEN amount END AS amount,
        CASE WHEN unpriced < payments THEN expected_loss END AS expected_loss,
        max_score, reasons, change, assignee, assigned_at
    FROM alerts AS a"""
FILTERS: LiteralString = """
    WHERE (%(state)s::text IS NULL OR a.state = %(state)s) AND (%(action)s::text IS NULL OR a.action = %(action)s)
        AND (%(min_score)s::float8 IS NULL OR a.max_score >= %(min_score)s)
        AND (%(since)s::timestamptz IS NULL OR a.last_at >= %(since)s)
        AND (%(assignee)s::text IS NULL OR a.assignee = %(assignee)s)"""
# What no rate is known for may be the costliest of all: it stands first.
ORDERED: dict[Order, LiteralString] = {
    "recent": " AND (%(number)s::bigint IS NULL OR a.alert_id < %(number)s) ORDER BY a.alert_id DESC",
    "loss": """ AND (%(number)s::bigint IS NULL
            OR (a.unpriced > 0, a.expected_loss, a.alert_id) < (%(unpriced)s, %(loss)s::numeric, %(number)s))
        ORDER BY (a.unpriced > 0) DESC, a.expected_loss DESC, a.alert_id DESC""",
}
PAYMENT: LiteralString = """
    SELECT decision_id, source, transaction_id, card_id, event_time, decided_at, origin, action, decided_by, score,
        amount, amount_minor, currency, acceptor, mcc, country, entry_mode, latitude, longitude, degraded, reasons,
        alert_id, verdict
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
    assignee: str | None = None,
) -> tuple[list[Row], str | None]:
    """Return alerts in `order` and the cursor of the next page; ProblemError 422 for a cursor of something else."""
    unpriced, loss, number = cursors.unpack(order, cursor, cursors.flag, cursors.amount, cursors.number)
    asked = {
        "state": state,
        "action": action,
        "min_score": min_score,
        "since": since,
        "assignee": assignee,
        "unpriced": unpriced,
        "loss": loss,
        "number": number,
        "limit": limit + 1,
    }
    found = await (await connection.execute(ALERT + FILTERS + ORDERED[order] + " LIMIT %(limit)s", asked)).fetchall()
    rows, more = found[:limit], len(found) > limit
    if not more:
        return rows, None
    last = rows[-1]
    return rows, cursors.pack(order, last["unpriced"] > 0, str(last["expected_loss"] or 0), last["alert_id"])


async def alert(connection: AsyncConnection, alert_id: int) -> Row:
    """Return one alert by its own number."""
    found = await (await connection.execute(ALERT + " WHERE a.alert_id = %s", (alert_id,))).fetchone()
    if found is None:
        raise ProblemError(404, "no_alert", "there is no such alert; alerts are forgotten after ALERTS_ALERTS_DAYS")
    return found


async def alert_of(connection: AsyncConnection, transaction_id: str, source: str | None) -> tuple[Row, Row]:
    """Return a payment in an alert, and the alert; ProblemError 404: none, 409: payments of several sources."""
    found = await _named(connection, transaction_id, source)
    alerted = [row for row in found if row["alert_id"] is not None]
    if not alerted:
        raise ProblemError(
            404,
            "no_alert",
            "no alert has a payment of this transaction_id: it was approved, is not decided yet, or is long past",
        )
    main = _one_source(alerted)
    return main, await alert(connection, main["alert_id"])


async def payment(connection: AsyncConnection, transaction_id: str, source: str | None) -> Row:
    """Return a decided payment, in an alert or not; ProblemError 404: none, 409: payments of several sources."""
    found = await _named(connection, transaction_id, source)
    if not found:
        text = "no payment of this transaction_id is kept: it is not decided yet, or long past"
        raise ProblemError(404, "no_payment", text)
    return _one_source(found)


async def _named(connection: AsyncConnection, transaction_id: str, source: str | None) -> list[Row]:
    """Return the decisions of this id, those in alerts first, then the newest."""
    statement = (
        PAYMENT
        + """
        WHERE transaction_id = %s AND (%s::text IS NULL OR source = %s)
        ORDER BY alert_id IS NULL, decided_at DESC, decision_id DESC"""
    )
    return await (await connection.execute(statement, (transaction_id, source, source))).fetchall()


def _one_source(found: list[Row]) -> Row:
    if len({row["source"] for row in found}) > 1:
        raise ProblemError(409, "ambiguous", "payments of several sources have this transaction_id: name the source")
    return found[0]


async def payments_of(connection: AsyncConnection, alert: Row, limit: int | None = None) -> list[Row]:
    """Return an alert's payments, oldest first; with a limit the newest ones of them."""
    statement = (
        PAYMENT
        + " WHERE alert_id = %s AND event_time BETWEEN %s AND %s ORDER BY event_time DESC, decision_id DESC LIMIT %s"
    )
    asked = (alert["alert_id"], alert["opened_at"] - SPAN, alert["opened_at"] + SPAN, limit)
    return (await (await connection.execute(statement, asked)).fetchall())[::-1]


async def payments_of_card(connection: AsyncConnection, card_id: str, limit: int) -> list[Row]:
    """Return a card's last payments, newest first."""
    statement = PAYMENT + " WHERE card_id = %s ORDER BY event_time DESC, decision_id DESC LIMIT %s"
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
