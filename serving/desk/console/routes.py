"""HTTP: the console's pages; an investigator signs in with their own key, every form has its session's token."""

import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.datastructures import FormData

from serving import metrics
from serving.desk.api import queries, statistics
from serving.desk.api.models import (
    Alert,
    AlertAction,
    Disposed,
    Disposition,
    DispositionMade,
    Payment,
    State,
    Summary,
)
from serving.desk.api.search import Search, search
from serving.desk.console import session as sessions
from serving.desk.console import timeline
from serving.desk.console.render import FOLDER, HEADERS, fragment, page, unpaired
from serving.desk.console.session import ForgedError, Session, SignedOutError
from serving.desk.context import Desk, desk
from serving.desk.health import troubles
from serving.desk.verdicts import assign
from serving.desk.verdicts.dispose import dispose, label
from serving.http.access import ANYBODY, Rule
from serving.http.problems import ProblemError, of_types
from serving.principals.file import fingerprint
from serving.principals.principal import Role
from settings import definitions

log = logging.getLogger(__name__)
SIGN_IN, QUEUE = "/console/sign-in", "/console/queue"
SHOWN, MOST = 24, 400
"""A card's last payments on an alert's page, and how many of the alert's own: more are judged by one word."""
PAGE = 50
DRAWN = 120
"""Bars of the drawing."""
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$").search
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Page(APIRoute):
    """A route whose errors are pages: not signed in leads to the form, a problem says what to do."""

    def get_route_handler(self) -> Handler:
        """Return the handler with errors turned into pages."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except SignedOutError:
                return RedirectResponse(SIGN_IN, 303, HEADERS)
            except ForgedError as error:
                return page("error.html", 403, title="Not accepted", text=str(error))
            except ProblemError as error:
                return page("error.html", error.status, title=error.document()["title"], text=error.detail)
            except RequestValidationError:
                return page("error.html", 422, title="No such page", text="the address has a value that it cannot have")

        return guarded


router = APIRouter(prefix="/console", route_class=Page, include_in_schema=False)
At = Annotated[Desk, Depends(desk)]


class SignedIn(Rule):
    """Lets in who has a session."""

    def __call__(self, request: Request) -> Session:
        """Return the session; SignedOutError without one."""
        return desk(request).sessions.current(request)


Who = Annotated[Session, Depends(SignedIn())]
OPEN = [Depends(ANYBODY)]


@router.get("", dependencies=OPEN)
async def console() -> Response:
    """The console begins with the queue."""
    return RedirectResponse(QUEUE, 303, HEADERS)


@router.get("/static/{name}", dependencies=OPEN)
async def static(name: str) -> Response:
    """Style and script."""
    if name not in STATIC:
        raise ProblemError(404, "not_found", "there is no such file")
    headers = HEADERS | {"cache-control": "no-cache"}
    return FileResponse(FOLDER / "static" / name, media_type=STATIC[name], headers=headers)


@router.get("/sign-in", dependencies=OPEN)
async def sign_in_form() -> Response:
    """The form."""
    return page("sign_in.html", wrong="")


@router.post("/sign-in", dependencies=OPEN)
async def sign_in(request: Request, at: At) -> Response:
    """Let in who has an investigator's key; who fails too often waits."""
    sessions.check_origin(request)
    digest = fingerprint(str((await request.form()).get("key", "")))
    address = request.client.host if request.client else "unknown"
    if wait_s := at.attempts.wait_s(address):
        metrics.SIGN_INS.labels("limited").inc()
        refused = page("sign_in.html", 429, wrong=f"Too many attempts failed. Try again in {wait_s:.0f} seconds.")
        refused.headers["retry-after"] = f"{wait_s:.0f}"
        return refused
    if at.keys.refused:
        metrics.SIGN_INS.labels("unavailable").inc()
        return page(
            "sign_in.html", 503, wrong="Nobody can sign in: the file of API keys is damaged. Tell the operator."
        )
    accepted = at.keys.find(digest)
    if accepted is None or accepted.principal.role is not Role.INVESTIGATOR:
        at.attempts.failed(address)
        metrics.SIGN_INS.labels("refused").inc()
        log.warning("console: a sign-in from %s was refused", address)
        wrong = "This API key is not known here." if accepted is None else "This is not the key of an investigator."
        return page("sign_in.html", 401 if accepted is None else 403, wrong=wrong)
    at.attempts.succeeded(address)
    metrics.SIGN_INS.labels("ok").inc()
    log.info("console: %s signed in from %s", accepted.principal.name, address)
    response = RedirectResponse(QUEUE, 303, HEADERS)
    at.sessions.begin(request, response, accepted.principal)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, at: At, who: Who) -> Response:
    """End the session."""
    sessions.check_form(request, who, (await request.form()).get("token"))
    response = RedirectResponse(SIGN_IN, 303, HEADERS)
    at.sessions.end(response, who)
    return response


@router.get("/queue")
async def queue(
    at: At,
    who: Who,
    *,
    state: State = "open",
    action: AlertAction | None = None,
    cursor: str | None = None,
    mine: bool = False,
    done: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Alerts by expected loss."""
    sources = who.principal.listed
    async with at.history.connection("reading the queue") as connection:
        rows, after = await queries.page(
            connection,
            "loss",
            PAGE,
            cursor,
            state=state,
            action=action,
            assignee=who.name if mine else None,
            sources=sources,
        )
        newest = await queries.last_change(connection)
        counts = await statistics.summary(connection, 24, sources)
    currency = definitions().reporting_currency
    chosen = {"state": state} | ({"action": action} if action else {}) | ({"mine": "yes"} if mine else {})
    return page(
        "queue.html",
        who=who,
        here="queue",
        alerts=[Alert(**row) for row in rows],
        state=state,
        action=action,
        mine=mine,
        counts=Summary(hours=24, currency=currency, **counts),
        currency=currency,
        done=done,
        newest=newest,
        more=f"?{urlencode(chosen | {'cursor': after})}" if after else "",
        first=cursor is None,
    )


@router.get("/stream")
async def stream(
    at: At, who: Who, last_event_id: Annotated[str | None, Header()] = None, after: str | None = None
) -> Response:
    """Changed alerts as rows of the queue."""
    currency = definitions().reporting_currency

    def row(alert: Alert) -> str:
        return fragment("row.html", alert=alert, currency=currency)

    return await at.streams.answer(
        last_event_id or after, HEADERS, lambda: at.sessions.lives(who), who.principal.listed, row
    )


@router.get("/alerts/{alert_id}")
async def alert(at: At, who: Who, alert_id: int) -> Response:
    """One alert: why, the card's last payments, and the form for the verdict."""
    sources = who.principal.listed
    async with at.history.connection("reading an alert") as connection:
        row = await queries.alert(connection, alert_id, sources)
        found = Alert(**row)
        own = [Payment(**each) for each in await queries.payments_of(connection, row, MOST, sources)]
        last = [Payment(**each) for each in await queries.payments_of_card(connection, found.card_id, SHOWN, sources)]
        said = [DispositionMade(**each) for each in await queries.dispositions_of(connection, alert_id, sources)]
    known = {(each.source, each.transaction_id): each for each in (*last, *own)}
    shown = sorted(known.values(), key=lambda each: each.event_time)
    return page(
        "alert.html",
        who=who,
        here="queue",
        alert=found,
        payments=shown,
        dispositions=said,
        timeline=timeline.draw(shown[-DRAWN:], alert_id),
        is_cut=len(own) < found.payments,
        currency=definitions().reporting_currency,
    )


@router.post("/alerts/{alert_id}/disposition")
async def judge(request: Request, at: At, who: Who, alert_id: int) -> Response:
    """Keep a verdict, then go back to the queue."""
    form = await request.form()
    sessions.check_form(request, who, form.get("token"))
    async with at.history.connection("reading an alert") as connection:
        main = await queries.alert(connection, alert_id, who.principal.listed)
    whole = form.get("whole") == "yes"
    said = _said(form, main["source"], [] if whole else form.getlist("also"), whole=whole)
    made = await dispose(at.history, at.sender, main["transaction_id"], said, who.principal)
    return _done(made)


@router.post("/alerts/{alert_id}/assignee")
async def assign_to(request: Request, at: At, who: Who, alert_id: int) -> Response:
    """Take the alert, take it over, or leave it; then show it again."""
    form = await request.form()
    sessions.check_form(request, who, form.get("token"))
    change = assign.leave if form.get("to") == "nobody" else assign.take
    await change(at.history, alert_id, who.principal, takes_over=form.get("takes_over") == "yes")
    return RedirectResponse(f"/console/alerts/{alert_id}", 303, HEADERS)


@router.get("/search")
async def find(request: Request, at: At, who: Who) -> Response:
    """Decided payments by what is known of them, and the form that labels one."""
    given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    for name in ("since", "until"):  # a browser sends the time without a zone; the page says UTC
        if name in given and not ZONE(given[name]):
            given[name] += "Z"
    try:
        asked = Search.model_validate(given)
    except ValidationError as error:
        raise of_types(error) from None
    found: list[Payment] = []
    after = None
    if given:
        async with at.history.connection("searching payments") as connection:
            rows, after = await search(connection, asked, datetime.now(UTC), who.principal.listed)
        found = [Payment(**row) for row in rows]
    return page(
        "search.html",
        who=who,
        here="search",
        asked=given,
        payments=found,
        more=f"?{urlencode(given | {'cursor': after})}" if after else "",
        currency=definitions().reporting_currency,
    )


@router.post("/payments/disposition")
async def judge_payment(request: Request, at: At, who: Who) -> Response:
    """Keep a verdict on payments that were found, in an alert or not."""
    form = await request.form()
    sessions.check_form(request, who, form.get("token"))
    try:
        first = unpaired(str(form.get("payment", "")))
    except (ValueError, TypeError):
        raise ProblemError(422, "missing_field", "choose the payment that the verdict is about") from None
    said = _said(form, first["source"], [])
    made = await label(at.history, at.sender, first["transaction_id"], said, who.principal)
    return _done(made)


def _said(form: FormData, source: str, also: Sequence[object], *, whole: bool = False) -> Disposition:
    """Return the verdict of a form; ProblemError 422 says what is wrong with it."""
    try:
        return Disposition.model_validate(
            {
                "verdict": form.get("verdict"),
                "note": str(form.get("note", "")).strip() or None,
                "whole": whole,
                "also": [unpaired(str(each)) for each in also],
                "corrects": form.get("corrects") == "yes",
                "source": source,
            }
        )
    except ValidationError as error:
        raise of_types(error) from None
    except (ValueError, TypeError):
        raise ProblemError(422, "wrong_type", "a payment was named in a way that this page does not") from None


def _done(made: Disposed) -> Response:
    count = len(made.payments)
    done = f"{count} payment{'' if count == 1 else 's'} marked as {made.verdict}"
    return RedirectResponse(f"{QUEUE}?{urlencode({'done': done})}", 303, HEADERS)


@router.get("/pipeline")
async def pipeline(at: At, who: Who) -> Response:
    """What of the pipeline answers, and what to do about the rest."""
    health = await at.pipeline.health()
    return page("pipeline.html", who=who, here="pipeline", health=health, troubles=troubles.troubles(health.components))
