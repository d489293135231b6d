"""What the API and the console read of PostgreSQL."""

from datetime import datetime
from typing import Any, LiteralString

from clients.postgres import AsyncConnection
from serving.desk.api import cursor as cursors
from serving.desk.api.models import AlertAction, Order, State
from serving.http.problems import ProblemError

Row = dict[str, Any]
Sources = list[str] | None
"""Of a principal, as a parameter of a query; None: all."""
STRICT: LiteralString = "array_position(ARRAY['review', 'step_up', 'block'], %s)"
OWN: LiteralString = "(%(sources)s::text[] IS NULL OR d.source = ANY(%(sources)s))"
# What a principal of some sources sees of an alert is made of the payments of those sources alone.
OF_SOURCES: LiteralString = """(
    SELECT a.alert_id, a.card_id, a.state, a.change, own.opened_at, own.last_at, own.action, own.payments, own.amount,
        own.expected_loss, own.max_score
    FROM alerts AS a CROSS JOIN LATERAL (
        SELECT min(event_time) AS opened_at, max(event_time) AS last_at, count(*)::integer AS payments,
            (ARRAY['review', 'step_up', 'block'])[max(array_position(ARRAY['review', 'step_up', 'block'], action))]
                AS action,
            coalesce(sum(amount), 0) AS amount, coalesce(sum(coalesce(score, 1) * amount), 0) AS expected_loss,
            max(score) AS max_score
        FROM (
            SELECT DISTINCT ON (d.source, d.transaction_id) d.* FROM decisions AS d
            WHERE d.alert_id = a.alert_id AND d.source = ANY(%(sources)s)
            ORDER BY d.source, d.transaction_id, d.payment_partition, d.payment_offset
        ) AS each_once
        HAVING count(*) > 0
    ) AS own)"""
ALERT: LiteralString = """
    SELECT a.alert_id, top.transaction_id, top.source, a.card_id, a.state, a.action, a.opened_at, a.last_at,
        a.payments, a.amount, a.expected_loss, a.max_score, top.reasons, a.change
    FROM """
TOP: LiteralString = """ AS a CROSS JOIN LATERAL (
        SELECT d.source, d.transaction_id, d.reasons FROM decisions AS d WHERE d.alert_id = a.alert_id
            AND (%(sources)s::text[] IS NULL OR d.source = ANY(%(sources)s))
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
    FROM decisions AS d"""


def of(sources: Sources) -> LiteralString:
    """Return the query of the alerts that a principal of `sources` sees (None: all); it takes them as a parameter."""
    return ALERT + ("alerts" if sources is None else OF_SOURCES) + TOP


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
    sources: Sources = None,
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
        "sources": sources,
    }
    statement = of(sources) + FILTERS + ORDERED[order] + " LIMIT %(limit)s"
    found = await (await connection.execute(statement, asked)).fetchall()
    rows, more = found[:limit], len(found) > limit
    last = cursors.pack(order, rows[-1]["expected_loss"], rows[-1]["alert_id"]) if more else None
    return rows, last


async def alert(connection: AsyncConnection, alert_id: int, sources: Sources = None) -> Row:
    """Return one alert by its own number."""
    asked = {"alert": alert_id, "sources": sources}
    found = await (await connection.execute(of(sources) + " WHERE a.alert_id = %(alert)s", asked)).fetchone()
    if found is None:
        raise ProblemError(404, "no_alert", "there is no such alert; alerts are forgotten after ALERTS_ALERTS_DAYS")
    return found


async def alert_of(
    connection: AsyncConnection, transaction_id: str, source: str | None, sources: Sources = None
) -> tuple[Row, Row]:
    """Return a payment in an alert, and the alert; ProblemError 404: none, 409: payments of several sources."""
    statement = (
        PAYMENT
        + """
        WHERE transaction_id = %(payment)s AND alert_id IS NOT NULL
            AND (%(source)s::text IS NULL OR source = %(source)s)
            AND """
        + OWN
        + " ORDER BY payment_partition, payment_offset DESC"
    )
    asked = {"payment": transaction_id, "source": source, "sources": sources}
    found = await (await connection.execute(statement, asked)).fetchall()
    if not found:
        raise ProblemError(
            404,
            "no_alert",
            "no alert has a payment of this transaction_id: it was approved, is not decided yet, or is long past",
        )
    if len({row["source"] for row in found}) > 1:
        raise ProblemError(409, "ambiguous", "payments of several sources have this transaction_id: name the source")
    return found[0], await alert(connection, found[0]["alert_id"], sources)


async def payments_of(connection: AsyncConnection, alert_id: int, sources: Sources = None) -> list[Row]:
    """Return an alert's payments, oldest first."""
    order = " ORDER BY event_time, payment_partition, payment_offset"
    statement = PAYMENT + " WHERE alert_id = %(alert)s AND " + OWN + order
    return await (await connection.execute(statement, {"alert": alert_id, "sources": sources})).fetchall()


async def payments_of_card(connection: AsyncConnection, card_id: str, limit: int, sources: Sources = None) -> list[Row]:
    """Return a card's last payments, newest first."""
    order = " ORDER BY event_time DESC, payment_offset DESC LIMIT %(limit)s"
    asked = {"card": card_id, "limit": limit, "sources": sources}
    return await (await connection.execute(PAYMENT + " WHERE card_id = %(card)s AND " + OWN + order, asked)).fetchall()


async def alerts_of_card(connection: AsyncConnection, card_id: str, sources: Sources = None) -> list[Row]:
    """Return a card's alerts, newest first."""
    statement = of(sources) + " WHERE a.card_id = %(card)s ORDER BY a.opened_at DESC LIMIT 50"
    return await (await connection.execute(statement, {"card": card_id, "sources": sources})).fetchall()


async def dispositions_of(connection: AsyncConnection, alert_id: int, sources: Sources = None) -> list[Row]:
    """Return what was said of an alert, newest first: of the payments of `sources`."""
    statement = """SELECT verdict, by, note, known_at, payments, sent_at FROM dispositions WHERE alert_id = %s
        ORDER BY disposition_id DESC"""
    found = await (await connection.execute(statement, (alert_id,))).fetchall()
    if sources is not None:
        for row in found:
            row["payments"] = [each for each in row["payments"] if each["source"] in sources]
    return [row for row in found if row["payments"]]


async def changes(connection: AsyncConnection, after: int, limit: int, sources: Sources = None) -> list[Row]:
    """Return alerts that changed after the change `after`, in the order of their changes, each as it is now."""
    statement = of(sources) + " WHERE a.change > %(after)s ORDER BY a.change LIMIT %(limit)s"
    return await (await connection.execute(statement, {"after": after, "limit": limit, "sources": sources})).fetchall()


async def last_change(connection: AsyncConnection) -> int:
    """Return the number of the newest change, 0 if there was none."""
    row = await (await connection.execute("SELECT coalesce(max(change), 0) AS newest FROM alerts")).fetchone()
    return int(row["newest"]) if row else 0
