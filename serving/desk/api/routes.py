"""HTTP: alerts, newest or costliest first, one with its payments, a card's, live, and what somebody says of one."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from serving.desk.api import queries
from serving.desk.api.models import (
    Alert,
    AlertAction,
    AlertDetail,
    AlertPage,
    Assignment,
    CardHistory,
    Disposed,
    Disposition,
    DispositionMade,
    Order,
    Payment,
    State,
)
from serving.desk.api.pages import ALERT, ASSIGNMENTS, BODIES, CARD, DETAIL, DISPOSED, PAGE, STREAM, answers
from serving.desk.context import Desk, desk
from serving.desk.verdicts import assign
from serving.desk.verdicts.dispose import dispose as keep
from serving.http.access import Allow
from serving.http.problems import ProblemError
from serving.principals.principal import Principal, Role
from settings import definitions

router = APIRouter(prefix="/alerts", tags=["alerts"])
At = Annotated[Desk, Depends(desk)]
Reader = Annotated[Principal, Depends(Allow(Role.INTEGRATOR, Role.INVESTIGATOR, Role.AUDITOR))]
Judge = Annotated[Principal, Depends(Allow(Role.INVESTIGATOR))]
Source = Annotated[str | None, Query(description="where two tenants have the same transaction id")]
Named = Annotated[str, Query(min_length=1, max_length=64, description="any id that a payment may have")]


@router.get("/recent", summary="Alerts, a page at a time", **answers(PAGE, 422, 503))
async def recent(
    at: At,
    who: Reader,
    order: Annotated[Order, Query(description="recent: newest first; loss: largest expected loss first")] = "recent",
    state: State | None = None,
    action: Annotated[AlertAction | None, Query(description="the strictest of its payments' decisions")] = None,
    min_score: Annotated[float | None, Query(ge=0, le=1, description="of its highest score")] = None,
    since: Annotated[datetime | None, Query(description="with a payment made then or later")] = None,
    assignee: Annotated[str | None, Query(max_length=64, description="who works on it")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="next_cursor of the page before")] = None,
) -> AlertPage:
    """Pages do not shift while new alerts come. In order `loss` an alert that grows meanwhile may move a page."""
    async with at.history.connection("reading alerts") as connection:
        rows, after = await queries.page(
            connection,
            order,
            limit,
            cursor,
            state=state,
            action=action,
            min_score=min_score,
            since=since,
            assignee=assignee,
            sources=who.listed,
        )
    return AlertPage(currency=_currency(), alerts=[Alert(**row) for row in rows], next_cursor=after)


@router.get("/stream", response_class=StreamingResponse, **STREAM)
async def stream(
    at: At, who: Reader, last_event_id: Annotated[str | None, Header(description="go on after this event")] = None
) -> StreamingResponse:
    """Without Last-Event-ID only what comes from now on. Comments between events are signs of life."""

    def lives() -> bool:
        return at.keys.find(who.key) is not None

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return await at.streams.answer(last_event_id, headers, lives, who.listed)


@router.get("/card/{card_id}", summary="A card's last payments and its alerts", **answers(CARD, 422, 503))
async def card(at: At, who: Reader, card_id: str, limit: Annotated[int, Query(ge=1, le=512)] = 50) -> CardHistory:
    """Payments are kept for 30 days (ALERTS_DECISIONS_DAYS), those in alerts longer; an unknown card has none."""
    async with at.history.connection("reading a card's payments") as connection:
        payments = await queries.payments_of_card(connection, card_id, limit, who.listed)
        alerts = await queries.alerts_of_card(connection, card_id, who.listed)
    return CardHistory(
        currency=_currency(),
        card_id=card_id,
        payments=[Payment(**row) for row in payments],
        alerts=[Alert(**row) for row in alerts],
    )


@router.get("/by-payment", summary="The alert of a payment, by any id", **answers(DETAIL, 404, 409, 422, 503))
async def by_payment(at: At, who: Reader, transaction_id: Named, source: Source = None) -> AlertDetail:
    """Any payment of an alert finds it; here also one whose id is a word of this page, such as `recent`."""
    return await _detail(at, who, transaction_id, source)


@router.post(
    "/by-payment/disposition",
    summary="Say what an alert's payment was, by any id",
    **answers(DISPOSED, 404, 409, 413, 422, 503, bodies=BODIES),
)
async def dispose_by_payment(
    at: At, who: Judge, transaction_id: Named, said: Disposition, source: Source = None
) -> Disposed:
    """As the route below; `source` may stand in either place."""
    return await keep(at.history, at.sender, transaction_id, with_source(said, source), who)


@router.put(
    "/by-payment/assignee",
    summary="Take an alert to work on it",
    **answers(ALERT, 404, 409, 422, 503, bodies=ASSIGNMENTS),
)
async def take(
    at: At, who: Judge, transaction_id: Named, asked: Assignment | None = None, source: Source = None
) -> Alert:
    """409 when somebody else has it, unless it is taken over. A verdict does not need it."""
    number = await _alert_id(at, who, transaction_id, source)
    return Alert(**await assign.take(at.history, number, who, takes_over=_takes_over(asked)))


@router.delete(
    "/by-payment/assignee", summary="Leave an alert", **answers(ALERT, 404, 409, 422, 503, bodies=ASSIGNMENTS)
)
async def leave(
    at: At, who: Judge, transaction_id: Named, asked: Assignment | None = None, source: Source = None
) -> Alert:
    """It is nobody's afterwards."""
    number = await _alert_id(at, who, transaction_id, source)
    return Alert(**await assign.leave(at.history, number, who, takes_over=_takes_over(asked)))


@router.post(
    "/{transaction_id:path}/disposition",
    summary="Say what an alert's payment was",
    **answers(DISPOSED, 404, 409, 413, 422, 503, bodies=BODIES),
)
async def dispose(at: At, who: Judge, transaction_id: str, said: Disposition) -> Disposed:
    """Labels are on Kafka when this answers. The same again changes nothing; the contrary is 409 unless it `corrects`.

    After `genuine` the card raises no alert for the same reasons for 24 hours, blocks excepted.
    """
    return await keep(at.history, at.sender, transaction_id, said, who)


@router.get("/{transaction_id:path}", summary="The alert of a payment", **answers(DETAIL, 404, 409, 422, 503))
async def one(at: At, who: Reader, transaction_id: str, source: Source = None) -> AlertDetail:
    """Any payment of an alert finds it."""
    return await _detail(at, who, transaction_id, source)


def with_source(said: Disposition, source: str | None) -> Disposition:
    """Return a disposition with the source that the address names; ProblemError 422 if it names another one itself."""
    if source is not None and said.source not in {None, source}:
        wrong = [{"field": "source", "code": "out_of_range", "reason": "the address names another source"}]
        raise ProblemError(422, "out_of_range", "source: the address names another source", wrong)
    return said.model_copy(update={"source": source}) if source is not None else said


async def _detail(at: Desk, who: Principal, transaction_id: str, source: str | None) -> AlertDetail:
    async with at.history.connection("reading an alert") as connection:
        _, alert = await queries.alert_of(connection, transaction_id, source, who.listed)
        payments = await queries.payments_of(connection, alert, sources=who.listed)
        said = await queries.dispositions_of(connection, alert["alert_id"], who.listed)
    return AlertDetail(
        currency=_currency(),
        alert=Alert(**alert),
        payments=[Payment(**row) for row in payments],
        dispositions=[DispositionMade(**row) for row in said],
    )


async def _alert_id(at: Desk, who: Principal, transaction_id: str, source: str | None) -> int:
    async with at.history.connection("reading an alert") as connection:
        return int((await queries.alert_of(connection, transaction_id, source, who.listed))[1]["alert_id"])


def _takes_over(asked: Assignment | None) -> bool:
    return asked is not None and asked.takes_over


def _currency() -> str:
    return definitions().reporting_currency
