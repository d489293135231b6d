"""Who works on an alert: taken by a person, so that two do not do the same, and left again."""

from typing import LiteralString

from serving.desk.api import queries
from serving.desk.api.queries import Row
from serving.desk.database import History
from serving.desk.sink.writing import LOCK_CHANGES
from serving.http.problems import ProblemError
from serving.principals.principal import Principal

ASSIGN: LiteralString = """
    UPDATE alerts SET assignee = %(to)s,
        assigned_at = CASE WHEN %(to)s::text IS NOT NULL THEN clock_timestamp() END, change = nextval('changes')
    WHERE alert_id = %(alert_id)s AND assignee IS DISTINCT FROM %(to)s"""


async def take(history: History, alert_id: int, who: Principal, *, takes_over: bool = False) -> Row:
    """Give the alert to `who` and return it; ProblemError 404: no such alert, 409: somebody else has it."""
    return await _assign(history, alert_id, who, who.name, takes_over=takes_over)


async def leave(history: History, alert_id: int, who: Principal, *, takes_over: bool = False) -> Row:
    """Take the alert from `who` and return it; errors as of `take`. Nobody's stays nobody's."""
    return await _assign(history, alert_id, who, None, takes_over=takes_over)


async def _assign(history: History, alert_id: int, who: Principal, to: str | None, *, takes_over: bool) -> Row:
    async with history.connection("assigning an alert") as connection:
        await connection.execute(LOCK_CHANGES)
        holder = (await queries.alert(connection, alert_id, who.listed))["assignee"]
        if holder not in {None, who.name} and not takes_over:
            text = f"{holder} has it: ask them, or say `takes_over`: true"
            raise ProblemError(409, "taken", text)
        await connection.execute(ASSIGN, {"alert_id": alert_id, "to": to})
        return await queries.alert(connection, alert_id, who.listed)
