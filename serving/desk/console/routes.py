"""HTTP: the console's pages; an investigator signs in with their own key, every form has its session's token."""

import json
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError

from serving import metrics
from serving.desk.api import queries, statistics
from serving.desk.api.models import Alert, AlertAction, Disposition, DispositionMade, Payment, State, Summary
from serving.desk.console import session as sessions
from serving.desk.console import timeline
from serving.desk.console.render import FOLDER, HEADERS, fragment, page
from serving.desk.console.session import ForgedError, Session, SignedOutError
from serving.desk.context import Desk, desk
from serving.desk.health import troubles
from serving.desk.verdicts.dispose import dispose
from serving.http.access import ANYBODY, Rule
from serving.http.problems import ProblemError, of_types
from serving.principals.file import fingerprint
from serving.principals.principal import Role
from settings import definitions

log = logging.getLogger(__name__)
SIGN_IN, QUEUE = "/console/sign-in", "/console/queue"
SHOWN = 24
"""A card's last payments on an alert's page."""
PAGE = 50
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
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
    done: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Alerts by expected loss."""
    sources = who.principal.listed
    async with at.history.connection("reading the queue") as connection:
        rows, after = await queries.page(connection, "loss", PAGE, cursor, state=state, action=action, sources=sources)
        newest = await queries.last_change(connection)
        counts = await statistics.summary(connection, 24, sources)
    currency = definitions().reporting_currency
    chosen = {"state": state} | ({"action": action} if action else {})
    return page(
        "queue.html",
        who=who,
        here="queue",
        alerts=[Alert(**row) for row in rows],
        state=state,
        action=action,
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
    begun = await at.streams.begin(last_event_id or after)
    currency = definitions().reporting_currency

    def row(alert: Alert) -> bytes:
        return fragment("row.html", alert=alert, currency=currency).encode()

    events = at.streams.events(begun, lambda: at.sessions.lives(who), who.principal.listed, row)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


@router.get("/alerts/{alert_id}")
async def alert(at: At, who: Who, alert_id: int) -> Response:
    """One alert: why, the card's last payments, and the form for the verdict."""
    sources = who.principal.listed
    async with at.history.connection("reading an alert") as connection:
        found = Alert(**await queries.alert(connection, alert_id, sources))
        own = [Payment(**row) for row in await queries.payments_of(connection, alert_id, sources)]
        rows = await queries.payments_of_card(connection, found.card_id, SHOWN, sources)
        last = [Payment(**row) for row in rows]
        said = [DispositionMade(**row) for row in await queries.dispositions_of(connection, alert_id, sources)]
    known = {(each.source, each.transaction_id): each for each in (*last, *own)}
    shown = sorted(known.values(), key=lambda each: each.event_time)
    return page(
        "alert.html",
        who=who,
        here="queue",
        alert=found,
        payments=shown,
        dispositions=said,
        timeline=timeline.draw(shown[-max(SHOWN, len(own)) :], alert_id),
        currency=definitions().reporting_currency,
    )


@router.post("/alerts/{alert_id}/disposition")
async def judge(request: Request, at: At, who: Who, alert_id: int) -> Response:
    """Keep a verdict, then go back to the queue."""
    form = await request.form()
    sessions.check_form(request, who, form.get("token"))
    async with at.history.connection("reading an alert") as connection:
        main = await queries.alert(connection, alert_id, who.principal.listed)
    try:
        said = Disposition.model_validate(
            {
                "verdict": form.get("verdict"),
                "note": str(form.get("note", "")).strip() or None,
                "also": [_named(str(each)) for each in form.getlist("also")],
                "corrects": form.get("corrects") == "yes",
                "source": main["source"],
            }
        )
    except ValidationError as error:
        raise of_types(error) from None
    chosen = str(form.get("transaction_id") or main["transaction_id"])
    made = await dispose(at.history, at.sender, chosen, said, who.principal)
    count = len(made.payments)
    done = f"{count} payment{'' if count == 1 else 's'} marked as {made.verdict}"
    return RedirectResponse(f"{QUEUE}?{urlencode({'done': done})}", 303, HEADERS)


@router.get("/pipeline")
async def pipeline(at: At, who: Who) -> Response:
    """What of the pipeline answers, and what to do about the rest."""
    health = await at.pipeline.health()
    return page("pipeline.html", who=who, here="pipeline", health=health, troubles=troubles.troubles(health.components))


def _named(value: str) -> dict[str, str]:
    """Return the payment that a ticked box names; ProblemError 422 if it is none of ours."""
    try:
        source, transaction_id = json.loads(value)
    except (ValueError, TypeError):
        raise ProblemError(422, "wrong_type", "a ticked payment cannot be read; open the page again") from None
    return {"source": source, "transaction_id": transaction_id}
