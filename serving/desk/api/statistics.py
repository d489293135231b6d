"""Counts of decisions and alerts, in one number each and over time: read of the counts that the sink keeps a minute."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, LiteralString

from clients.postgres import AsyncConnection
from serving.desk.api.queries import OF_SOURCES, OWN, Sources

SUMMARY: LiteralString = f"""
    SELECT action, decided_by, sum(decided)::bigint AS decided, sum(degraded)::bigint AS degraded,
        sum(unpriced)::bigint AS unpriced, sum(amount) AS amount
    FROM decision_counts AS d WHERE minute >= date_trunc('minute', now() - %(span)s) AND {OWN}
    GROUP BY action, decided_by"""  # noqa: S608 - a constant
ALERTS: LiteralString = """
    SELECT state, count(*) AS alerts, sum(expected_loss) FILTER (WHERE state = 'open') AS expected_loss
    FROM """
OPENED: LiteralString = "SELECT count(*) AS opened FROM "
OPENED_SINCE: LiteralString = " AS a WHERE opened_at >= now() - %(span)s"
SAID: LiteralString = """
    SELECT verdict, count(*) AS said FROM dispositions
    WHERE known_at >= now() - %(span)s AND (%(sources)s::text[] IS NULL OR EXISTS (
        SELECT FROM jsonb_array_elements(payments) AS payment WHERE payment ->> 'source' = ANY(%(sources)s)))
    GROUP BY verdict"""
SERIES: LiteralString = f"""
    WITH counted AS (
        SELECT date_bin(%(bucket)s, minute, 'epoch'::timestamptz) AS at, sum(decided)::bigint AS decided,
            sum(decided) FILTER (WHERE action <> 'approve')::bigint AS not_approved,
            sum(decided) FILTER (WHERE action = 'block')::bigint AS blocked, sum(degraded)::bigint AS degraded,
            sum(amount) AS amount, sum(amount) FILTER (WHERE action <> 'approve') AS amount_not_approved
        FROM decision_counts AS d
        WHERE minute >= date_bin(%(bucket)s, now() - %(span)s, 'epoch'::timestamptz) AND {OWN} GROUP BY 1
    )
    SELECT at, coalesce(decided, 0) AS decided, coalesce(not_approved, 0) AS not_approved,
        coalesce(blocked, 0) AS blocked, coalesce(degraded, 0) AS degraded, coalesce(amount, 0) AS amount,
        coalesce(amount_not_approved, 0) AS amount_not_approved
    FROM generate_series(date_bin(%(bucket)s, now() - %(span)s, 'epoch'::timestamptz), now(), %(bucket)s) AS spans (at)
    LEFT JOIN counted USING (at) ORDER BY at"""  # noqa: S608 - a constant


async def summary(connection: AsyncConnection, hours: float, sources: Sources = None) -> dict[str, Any]:
    """Return the counts of models.Summary over the last `hours`, from the minute in which they begin."""
    asked = {"span": timedelta(hours=hours), "sources": sources}
    seen: LiteralString = "alerts" if sources is None else OF_SOURCES
    decided = await (await connection.execute(SUMMARY, asked)).fetchall()
    alerts = await (await connection.execute(ALERTS + seen + " AS a GROUP BY state", asked)).fetchall()
    opened = await (await connection.execute(OPENED + seen + OPENED_SINCE, asked)).fetchone()
    said = await (await connection.execute(SAID, asked)).fetchall()
    total = sum(row["decided"] for row in decided)
    by_action = _sums(decided, "action")
    return {
        "decided": total,
        "by_action": by_action,
        "by_decider": _sums(decided, "decided_by"),
        "approval_rate": by_action.get("approve", 0) / total if total else None,
        "degraded": sum(row["degraded"] for row in decided),
        "unpriced": sum(row["unpriced"] for row in decided),
        "amount": sum((row["amount"] for row in decided), Decimal(0)),
        "alerts_opened": opened["opened"] if opened else 0,
        "alerts_by_state": {row["state"]: row["alerts"] for row in alerts},
        "open_expected_loss": next((row["expected_loss"] for row in alerts if row["state"] == "open"), Decimal(0)),
        "dispositions": {row["verdict"]: row["said"] for row in said},
    }


async def series(
    connection: AsyncConnection, hours: float, bucket_s: int, sources: Sources = None
) -> list[dict[str, Any]]:
    """Return the points of models.Series; `bucket_s` is a multiple of 60."""
    asked = {"bucket": timedelta(seconds=bucket_s), "span": timedelta(hours=hours), "sources": sources}
    return await (await connection.execute(SERIES, asked)).fetchall()


def _sums(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["decided"]:  # a count that was taken back is no more
            found[row[name]] = found.get(row[name], 0) + row["decided"]
    return found
