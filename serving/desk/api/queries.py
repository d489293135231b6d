"""What the API and the console read of alerts in PostgreSQL."""

from datetime import datetime
from typing import Any, LiteralString

from clients.postgres import AsyncConnection
from serving.desk.api import cursor as cursors
from serving.desk.api.models import AlertAction, Order, State
from serving.desk.sink.joining import SPAN
from serving.http.problems import ProblemError

Row = dict[str, Any]
Sources = list[str] | None
"""Those that somebody may see, as a parameter of a query; None: all."""
OWN: LiteralString = "(%(sources)s::text[] IS NULL OR d.source = ANY(%(sources)s))"
ALERT: LiteralString = """
    SELECT alert_id, transaction_id, source, card_id, state, action, opened_at, last_at, payments, unpriced,
        CASE WHEN unpriced < payments THEN amount END AS amount,
        CASE WHEN unpriced < payments THEN expected_loss END AS expected_loss,
        max_score, reasons, change, assignee, assigned_at
    FROM """
COSTLIEST: LiteralString = (
    "ORDER BY coalesce(d.score, 1)::numeric * d.amount DESC NULLS FIRST, d.decided_at, d.decision_id"
)
# What is seen of an alert through some sources is made of the payments of those sources alone; one that was sent twice
# counts once, as in the whole alert.
OF_SOURCES: LiteralString = f"""(
    SELECT a.alert_id, a.card_id, a.state, a.change, a.assignee, a.assigned_at, own.*
    FROM alerts AS a CROSS JOIN LATERAL (
        SELECT min(d.event_time) AS opened_at, max(d.event_time) AS last_at, count(*)::integer AS payments,
            (count(*) FILTER (WHERE d.amount IS NULL))::integer AS unpriced, coalesce(sum(d.amount), 0) AS amount,
            coalesce(sum(coalesce(d.score, 1)::numeric * d.amount), 0) AS expected_loss, max(d.score) AS max_score,
            (ARRAY['review', 'step_up', 'block'])[max(array_position(ARRAY['review', 'step_up', 'block'], d.action))]
                AS action,
            (array_agg(d.source {COSTLIEST}))[1] AS source,
            (array_agg(d.transaction_id {COSTLIEST}))[1] AS transaction_id,
            (array_agg(d.reasons {COSTLIEST}))[1] AS reasons
        FROM (
            SELECT DISTINCT ON (each.source, each.transaction_id) each.* FROM decisions AS each
            WHERE each.alert_id = a.alert_id AND each.source = ANY(%(sources)s)
                AND each.event_time BETWEEN a.opened_at - interval '24 hours' AND a.opened_at + interval '24 hours'
            ORDER BY each.source, each.transaction_id, each.decided_at, each.decision_id
        ) AS d
        HAVING count(*) > 0
    ) AS own)"""  # noqa: S608 - constants
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
    FROM decisions AS d"""


def seen(sources: Sources) -> LiteralString:
    """Return the query of the alerts that are seen through `sources` (None: all), which it takes as a parameter."""
    return ALERT + ("alerts" if sources is None else OF_SOURCES) + " AS a"


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
    sources: Sources = None,
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
        "sources": sources,
    }
    statement = seen(sources) + FILTERS + ORDERED[order] + " LIMIT %(limit)s"
    found = await (await connection.execute(statement, asked)).fetchall()
    rows, more = found[:limit], len(found) > limit
    if not more:
        return rows, None
    last = rows[-1]
    return rows, cursors.pack(order, last["unpriced"] > 0, str(last["expected_loss"] or 0), last["alert_id"])


async def alert(connection: AsyncConnection, alert_id: int, sources: Sources = None) -> Row:
    """Return one alert by its own number."""
    asked = {"alert": alert_id, "sources": sources}
    found = await (await connection.execute(seen(sources) + " WHERE a.alert_id = %(alert)s", asked)).fetchone()
    if found is None:
        raise ProblemError(404, "no_alert", "there is no such alert; alerts are forgotten after ALERTS_ALERTS_DAYS")
    return found


async def alert_of(
    connection: AsyncConnection, transaction_id: str, source: str | None, sources: Sources = None
) -> tuple[Row, Row]:
    """Return a payment in an alert, and the alert; ProblemError 404: none, 409: payments of several sources."""
    found = await _named(connection, transaction_id, source, sources)
    alerted = [row for row in found if row["alert_id"] is not None]
    if not alerted:
        raise ProblemError(
            404,
            "no_alert",
            "no alert has a payment of this transaction_id: it was approved, is not decided yet, or is long past",
        )
    main = _one_source(alerted)
    return main, await alert(connection, main["alert_id"], sources)


async def payment(connection: AsyncConnection, transaction_id: str, source: str | None, sources: Sources = None) -> Row:
    """Return a decided payment, in an alert or not; ProblemError 404: none, 409: payments of several sources."""
    found = await _named(connection, transaction_id, source, sources)
    if not found:
        text = "no payment of this transaction_id is kept: it is not decided yet, or long past"
        raise ProblemError(404, "no_payment", text)
    return _one_source(found)


async def _named(connection: AsyncConnection, transaction_id: str, source: str | None, sources: Sources) -> list[Row]:
    """Return the decisions of this id, those in alerts first, then the newest."""
    statement = (
        PAYMENT
        + " WHERE transaction_id = %(name)s AND (%(source)s::text IS NULL OR source = %(source)s) AND "
        + OWN
        + " ORDER BY alert_id IS NULL, decided_at DESC, decision_id DESC"
    )
    asked = {"name": transaction_id, "source": source, "sources": sources}
    return await (await connection.execute(statement, asked)).fetchall()


def _one_source(found: list[Row]) -> Row:
    if len({row["source"] for row in found}) > 1:
        raise ProblemError(409, "ambiguous", "payments of several sources have this transaction_id: name the source")
    return found[0]


async def payments_of(
    connection: AsyncConnection, alert: Row, limit: int | None = None, sources: Sources = None
) -> list[Row]:
    """Return an alert's payments, oldest first; with a limit the newest ones of them."""
    statement = (
        PAYMENT
        + " WHERE alert_id = %(alert)s AND event_time BETWEEN %(first)s AND %(last)s AND "
        + OWN
        + " ORDER BY event_time DESC, decision_id DESC LIMIT %(limit)s"
    )
    asked = times(alert) | {"limit": limit, "sources": sources}
    return (await (await connection.execute(statement, asked)).fetchall())[::-1]


def times(alert: Row) -> Row:
    """Return an alert's number and the times between which its payments lie: so only their days are looked at."""
    at = alert["opened_at"]  # seen through some sources it may be a later payment's
    return {"alert": alert["alert_id"], "first": at - 2 * SPAN, "last": at + 2 * SPAN}


async def payments_of_card(connection: AsyncConnection, card_id: str, limit: int, sources: Sources = None) -> list[Row]:
    """Return a card's last payments, newest first."""
    statement = (
        PAYMENT + " WHERE card_id = %(card)s AND " + OWN + " ORDER BY event_time DESC, decision_id DESC LIMIT %(limit)s"
    )
    asked = {"card": card_id, "limit": limit, "sources": sources}
    return await (await connection.execute(statement, asked)).fetchall()


async def alerts_of_card(connection: AsyncConnection, card_id: str, sources: Sources = None) -> list[Row]:
    """Return a card's alerts, newest first."""
    statement = seen(sources) + " WHERE a.card_id = %(card)s ORDER BY a.opened_at DESC LIMIT 50"
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
    statement = seen(sources) + " WHERE a.change > %(after)s ORDER BY a.change LIMIT %(limit)s"
    return await (await connection.execute(statement, {"after": after, "limit": limit, "sources": sources})).fetchall()


async def last_change(connection: AsyncConnection) -> int:
    """Return the number of the newest change, 0 if there was none."""
    row = await (await connection.execute("SELECT coalesce(max(change), 0) AS newest FROM alerts")).fetchone()
    return int(row["newest"]) if row else 0
