"""Counts of decisions and alerts, in one number each and over time."""

from datetime import timedelta
from typing import Any, LiteralString

from clients.postgres import AsyncConnection
from serving.desk.api.queries import OF_SOURCES, Sources

SUMMARY: LiteralString = """
    SELECT action, decided_by, count(*) AS decided, count(*) FILTER (WHERE degraded) AS degraded,
        coalesce(sum(amount), 0) AS amount
    FROM decisions AS d WHERE decided_at >= now() - %(span)s
        AND (%(sources)s::text[] IS NULL OR d.source = ANY(%(sources)s))
    GROUP BY action, decided_by"""
ALERTS: LiteralString = """
    SELECT state, count(*) AS alerts, count(*) FILTER (WHERE opened_at >= now() - %(span)s) AS opened,
        coalesce(sum(expected_loss), 0) AS expected_loss
    FROM """
SAID: LiteralString = """
    SELECT verdict, count(*) AS said FROM dispositions
    WHERE known_at >= now() - %(span)s AND (%(sources)s::text[] IS NULL OR EXISTS (
        SELECT FROM jsonb_array_elements(payments) AS payment WHERE payment ->> 'source' = ANY(%(sources)s)))
    GROUP BY verdict"""
SERIES: LiteralString = """
    WITH counted AS (
        SELECT date_bin(%(bucket)s, decided_at, 'epoch'::timestamptz) AS at, count(*) AS decided,
            count(*) FILTER (WHERE action <> 'approve') AS not_approved,
            count(*) FILTER (WHERE action = 'block') AS blocked, count(*) FILTER (WHERE degraded) AS degraded,
            coalesce(sum(amount), 0) AS amount,
            coalesce(sum(amount) FILTER (WHERE action <> 'approve'), 0) AS amount_not_approved
        FROM decisions AS d
        WHERE decided_at >= date_bin(%(bucket)s, now() - %(span)s, 'epoch'::timestamptz)
            AND (%(sources)s::text[] IS NULL OR d.source = ANY(%(sources)s))
        GROUP BY 1
    )
    SELECT at, coalesce(decided, 0) AS decided, coalesce(not_approved, 0) AS not_approved,
        coalesce(blocked, 0) AS blocked, coalesce(degraded, 0) AS degraded, coalesce(amount, 0) AS amount,
        coalesce(amount_not_approved, 0) AS amount_not_approved
    FROM generate_series(date_bin(%(bucket)s, now() - %(span)s, 'epoch'::timestamptz), now(), %(bucket)s) AS spans (at)
    LEFT JOIN counted USING (at) ORDER BY at"""


async def summary(connection: AsyncConnection, hours: float, sources: Sources = None) -> dict[str, Any]:
    """Return the counts of models.Summary over the last `hours`, without hours and currency."""
    asked = {"span": timedelta(hours=hours), "sources": sources}
    seen = "alerts AS a" if sources is None else OF_SOURCES + " AS a"
    decided = await (await connection.execute(SUMMARY, asked)).fetchall()
    alerts = await (await connection.execute(ALERTS + seen + " GROUP BY state", asked)).fetchall()
    said = await (await connection.execute(SAID, asked)).fetchall()
    total = sum(row["decided"] for row in decided)
    by_action = _sums(decided, "action")
    return {
        "decided": total,
        "by_action": by_action,
        "by_decider": _sums(decided, "decided_by"),
        "approval_rate": by_action.get("approve", 0) / total if total else None,
        "degraded": sum(row["degraded"] for row in decided),
        "amount": sum(row["amount"] for row in decided),
        "alerts_opened": sum(row["opened"] for row in alerts),
        "alerts_by_state": {row["state"]: row["alerts"] for row in alerts},
        "open_expected_loss": sum(row["expected_loss"] for row in alerts if row["state"] == "open"),
        "dispositions": {row["verdict"]: row["said"] for row in said},
    }


async def series(
    connection: AsyncConnection, hours: float, bucket_s: int, sources: Sources = None
) -> list[dict[str, Any]]:
    """Return the points of models.Series."""
    asked = {"bucket": timedelta(seconds=bucket_s), "span": timedelta(hours=hours), "sources": sources}
    return await (await connection.execute(SERIES, asked)).fetchall()


def _sums(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row[name]] = found.get(row[name], 0) + row["decided"]
    return found
