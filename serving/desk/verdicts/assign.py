"""Who works on an alert: taken by a person, so that two do not do the same, and left again."""

from typing import LiteralString

from serving.desk.api import queries
from serving.desk.api.models import Assignment
from serving.desk.api.queries import Row
from serving.desk.database import History
from serving.desk.sink.writing import LOCK_CHANGES
from serving.http.problems import ProblemError

ASSIGN: LiteralString = """
    UPDATE alerts SET assignee = %(to)s,
        assigned_at = CASE WHEN %(to)s::text IS NOT NULL THEN clock_timestamp() END, change = nextval('changes')
    WHERE alert_id = %(alert_id)s AND assignee IS DISTINCT FROM %(to)s"""


async def take(history: History, alert_id: int, asked: Assignment) -> Row:
    """Give the alert to `asked.by` and return it; ProblemError 404: no such alert, 409: somebody else has it."""
    return await _assign(history, alert_id, asked, asked.by)


async def leave(history: History, alert_id: int, asked: Assignment) -> Row:
    """Take the alert from `asked.by` and return it; errors as of `take`. Nobody's stays nobody's."""
    return await _assign(history, alert_id, asked, None)


async def _assign(history: History, alert_id: int, asked: Assignment, to: str | None) -> Row:
    async with history.connection("assigning an alert") as connection:
        await connection.execute(LOCK_CHANGES)
        holder = (await queries.alert(connection, alert_id))["assignee"]
        if holder not in {None, asked.by} and not asked.takes_over:
            text = f"{holder} has it: ask them, or say `takes_over`: true"
            raise ProblemError(409, "taken", text)
        await connection.execute(ASSIGN, {"alert_id": alert_id, "to": to})
        return await queries.alert(connection, alert_id)
