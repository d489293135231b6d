"""Counts of decisions and alerts, in one number each and over time: read of the counts that the sink keeps a minute."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, LiteralString

from clients.postgres import AsyncConnection

SUMMARY: LiteralString = """
    SELECT action, decided_by, sum(decided)::bigint AS decided, sum(degraded)::bigint AS degraded,
        sum(unpriced)::bigint AS unpriced, sum(amount) AS amount
    FROM decision_counts WHERE minute >= date_trunc('minute', now() - %s) GROUP BY action, decided_by"""
ALERTS: LiteralString = """
    SELECT state, count(*) AS alerts, sum(expected_loss) FILTER (WHERE state = 'open') AS expected_loss
    FROM alerts GROUP BY state"""
OPENED: LiteralString = "SELECT count(*) AS opened FROM alerts WHERE opened_at >= now() - %s"
SAID: LiteralString = "SELECT verdict, count(*) AS said FROM dispositions WHERE known_at >= now() - %s GROUP BY verdict"
SERIES: LiteralString = """
    WITH counted AS (
        SELECT date_bin(%(bucket)s, minute, 'epoch'::timestamptz) AS at, sum(decided)::bigint AS decided,
            sum(decided) FILTER (WHERE action <> 'approve')::bigint AS not_approved,
            sum(decided) FILTER (WHERE action = 'block')::bigint AS blocked, sum(degraded)::bigint AS degraded,
            sum(amount) AS amount, sum(amount) FILTER (WHERE action <> 'approve') AS amount_not_approved
        FROM decision_counts WHERE minute >= date_bin(%(bucket)s, now() - %(span)s, 'epoch'::timestamptz) GROUP BY 1
    )
    SELECT at, coalesce(decided, 0) AS decided, coalesce(not_approved, 0) AS not_approved,
        coalesce(blocked, 0) AS blocked, coalesce(degraded, 0) AS degraded, coalesce(amount, 0) AS amount,
        coalesce(amount_not_approved, 0) AS amount_not_approved
    FROM generate_series(date_bin(%(bucket)s, now() - %(span)s, 'epoch'::timestamptz), now(), %(bucket)s) AS spans (at)
    LEFT JOIN counted USING (at) ORDER BY at"""


async def summary(connection: AsyncConnection, hours: float) -> dict[str, Any]:
    """Return the counts of models.Summary over the last `hours`, from the minute in which they begin."""
    span = timedelta(hours=hours)
    decided = await (await connection.execute(SUMMARY, (span,))).fetchall()
    alerts = await (await connection.execute(ALERTS)).fetchall()
    opened = await (await connection.execute(OPENED, (span,))).fetchone()
    said = await (await connection.execute(SAID, (span,))).fetchall()
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


async def series(connection: AsyncConnection, hours: float, bucket_s: int) -> list[dict[str, Any]]:
    """Return the points of models.Series; `bucket_s` is a multiple of 60."""
    asked = {"bucket": timedelta(seconds=bucket_s), "span": timedelta(hours=hours)}
    return await (await connection.execute(SERIES, asked)).fetchall()


def _sums(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        if row["decided"]:  # a count that was taken back is no more
            found[row[name]] = found.get(row[name], 0) + row["decided"]
    return found
