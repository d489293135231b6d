"""Finds decided payments, in an alert or not: by card, id, acceptor, time, amount and decision, newest first."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, LiteralString

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from clients.postgres import AsyncConnection
from serving.desk.api import cursor as cursors
from serving.desk.api.queries import OWN, PAYMENT, Row, Sources
from serving.http.problems import ProblemError

ORDER = "payments"
WIDEST = timedelta(days=7)
"""Without card, id or acceptor every payment of the time asked for is looked at."""
DAY = timedelta(days=1)
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
CONDITIONS: dict[str, LiteralString] = {
    "card_id": "card_id = %(card_id)s",
    "transaction_id": "transaction_id = %(transaction_id)s",
    "source": "source = %(source)s",
    "acceptor": "acceptor = %(acceptor)s",
    "since": "event_time >= %(since)s",
    "until": "event_time < %(until)s",
    "min_amount": "amount >= %(min_amount)s",
    "max_amount": "amount <= %(max_amount)s",
    "action": "action = %(action)s",
}


class Search(BaseModel):
    """What is known of a payment; all of it must hold."""

    model_config = ConfigDict(extra="forbid")

    card_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None
    transaction_id: Id | None = None
    source: Id | None = None
    acceptor: Annotated[str, StringConstraints(min_length=1, max_length=130)] | None = Field(
        default=None, description="source:merchant_id, as in `acceptor` of a payment"
    )
    since: AwareDatetime | None = Field(default=None, description="made then or later; with an offset")
    until: AwareDatetime | None = Field(default=None, description="made before then; with an offset")
    min_amount: Decimal | None = Field(default=None, ge=0, le=10**12, description="in the reporting currency")
    max_amount: Decimal | None = Field(default=None, ge=0, le=10**12, description="in the reporting currency")
    action: Literal["approve", "review", "step_up", "block"] | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: Annotated[str, StringConstraints(max_length=300)] | None = Field(
        default=None, description="next_cursor of the page before"
    )

    @property
    def is_keyed(self) -> bool:
        """Whether an index leads to few payments."""
        return bool(self.card_id or self.transaction_id or self.acceptor)


async def search(
    connection: AsyncConnection, asked: Search, now: datetime, sources: Sources = None
) -> tuple[list[Row], str | None]:
    """Return payments and the cursor of the next page; ProblemError 422: a wrong cursor, or too much to look at.

    Without card, id or acceptor: those of the last day, or of a time of at most a week.
    """
    values: dict[str, Any] = asked.model_dump(exclude_none=True, exclude={"limit", "cursor"})
    if not asked.is_keyed:
        until = values.setdefault("until", now + DAY)
        since = values.setdefault("since", min(until, now) - DAY)
        if until - since > WIDEST + DAY:
            reason = "name a card, an id or an acceptor, or a time of at most 7 days"
            wrong = [{"field": "since", "code": "out_of_range", "reason": reason}]
            raise ProblemError(422, "out_of_range", f"since: {reason}", wrong)
    conditions: list[LiteralString] = [*(CONDITIONS[name] for name in values), OWN]
    at, number = cursors.unpack(ORDER, asked.cursor, cursors.moment, cursors.text)
    if at is not None:
        conditions.append("(event_time, decision_id) < (%(at)s, %(number)s)")
    statement = (
        PAYMENT + " WHERE " + " AND ".join(conditions) + " ORDER BY event_time DESC, decision_id DESC LIMIT %(limit)s"
    )
    values |= {"sources": sources, "at": at, "number": number, "limit": asked.limit + 1}
    found = await (await connection.execute(statement, values)).fetchall()
    rows = found[: asked.limit]
    if len(found) <= asked.limit:
        return rows, None
    return rows, cursors.pack(ORDER, rows[-1]["event_time"].isoformat(), rows[-1]["decision_id"])
