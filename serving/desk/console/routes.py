"""HTTP: the console's pages; signed in by the API key once, every form with its session's token."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError

from serving.desk.api import queries, statistics
from serving.desk.api.models import Alert, AlertAction, Disposition, DispositionMade, Payment, State, Summary
from serving.desk.console import session as sessions
from serving.desk.console import timeline
from serving.desk.console.render import FOLDER, HEADERS, fragment, page
from serving.desk.console.session import ForgedError, Session, SignedOutError
from serving.desk.context import Desk, desk
from serving.desk.health import troubles
from serving.desk.verdicts.dispose import dispose
from serving.http.problems import ProblemError, of_types
from settings import definitions

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


def _signed_in(request: Request, at: At) -> Session:
    return sessions.current(request, at.keys)


Who = Annotated[Session, Depends(_signed_in)]


@router.get("")
async def console() -> Response:
    """The console begins with the queue."""
    return RedirectResponse(QUEUE, 303, HEADERS)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """Style and script."""
    if name not in STATIC:
        raise ProblemError(404, "not_found", "there is no such file")
    headers = HEADERS | {"cache-control": "no-cache"}
    return FileResponse(FOLDER / "static" / name, media_type=STATIC[name], headers=headers)


@router.get("/sign-in")
async def sign_in_form() -> Response:
    """The form."""
    return page("sign_in.html", wrong="", name="")


@router.post("/sign-in")
async def sign_in(request: Request, at: At) -> Response:
    """Let in who has an API key."""
    sessions.check_origin(request)
    form = await request.form()
    name, digest = str(form.get("name", "")).strip()[:64], sessions.digest(str(form.get("key", "")))
    try:
        Disposition(verdict="unsure", by=name)  # it will stand there
    except ValidationError:
        text = "Give the name that your verdicts shall carry; no digits of a card."
        return page("sign_in.html", 422, wrong=text, name="")
    if digest not in at.keys:
        return page("sign_in.html", 401, wrong="This API key is not known here.", name=name)
    response = RedirectResponse(QUEUE, 303, HEADERS)
    sessions.begin(response, name, digest)
    return response


@router.post("/sign-out")
async def sign_out(request: Request, who: Who) -> Response:
    """Forget the session."""
    sessions.check_form(request, who, (await request.form()).get("token"))
    response = RedirectResponse(SIGN_IN, 303, HEADERS)
    sessions.end(response)
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
    async with at.history.connection("reading the queue") as connection:
        rows, after = await queries.page(connection, "loss", PAGE, cursor, state=state, action=action)
        newest = await queries.last_change(connection)
        counts = await statistics.summary(connection, 24)
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
    del who
    begun = await at.streams.begin(last_event_id or after)
    currency = definitions().reporting_currency

    def row(alert: Alert) -> bytes:
        return fragment("row.html", alert=alert, currency=currency).encode()

    return StreamingResponse(at.streams.events(begun, row), media_type="text/event-stream", headers=HEADERS)


@router.get("/alerts/{alert_id}")
async def alert(at: At, who: Who, alert_id: int) -> Response:
    """One alert: why, the card's last payments, and the form for the verdict."""
    async with at.history.connection("reading an alert") as connection:
        found = Alert(**await queries.alert(connection, alert_id))
        own = [Payment(**row) for row in await queries.payments_of(connection, alert_id)]
        last = [Payment(**row) for row in await queries.payments_of_card(connection, found.card_id, SHOWN)]
        said = [DispositionMade(**row) for row in await queries.dispositions_of(connection, alert_id)]
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
        main = await queries.alert(connection, alert_id)
    try:
        said = Disposition.model_validate(
            {
                "verdict": form.get("verdict"),
                "by": who.name,
                "note": str(form.get("note", "")).strip() or None,
                "also": [str(each) for each in form.getlist("also")],
                "corrects": form.get("corrects") == "yes",
                "source": main["source"],
            }
        )
    except ValidationError as error:
        raise of_types(error) from None
    chosen = str(form.get("transaction_id") or main["transaction_id"])
    made = await dispose(at.history, at.sender, chosen, said)
    count = len(made.payments)
    done = f"{count} payment{'' if count == 1 else 's'} marked as {made.verdict}"
    return RedirectResponse(f"{QUEUE}?{urlencode({'done': done})}", 303, HEADERS)


@router.get("/pipeline")
async def pipeline(at: At, who: Who) -> Response:
    """What of the pipeline answers, and what to do about the rest."""
    health = await at.pipeline.health()
    return page("pipeline.html", who=who, here="pipeline", health=health, troubles=troubles.troubles(health.components))
