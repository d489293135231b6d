"""The desk's HTTP application: alerts, payments, statistics, the pipeline's health, and the console."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp

from contracts.topics import LABELS
from serving.config import config as limits
from serving.desk.api import payments, reporting, routes
from serving.desk.config import config
from serving.desk.console import routes as console
from serving.desk.console.render import page
from serving.desk.context import Desk
from serving.http import access, handlers, problems
from serving.http.access import ANYBODY, Allow
from serving.http.guard import Guard
from serving.principals import file as keyfile
from serving.principals.in_force import KeysInForce
from serving.principals.principal import Role

DESCRIPTION = """Alerts, what a person says of them, decided payments, counts, and how the pipeline is. Send your key as
`X-API-Key`. People use `/console`."""
FLUSH_S = 1.0


def create() -> ASGIApp:
    """Return the application; servers are first asked when it starts. SettingsError if a secret is missing."""
    bounds = limits().model_copy(update={"largest_body": config().largest_body})
    keys = KeysInForce(keyfile.path(), bounds)
    desk = Desk(keys)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        keys.start()
        threading.Thread(target=desk.sender.warm, args=(LABELS,), name="warm sender", daemon=True).start()
        tasks = [asyncio.create_task(desk.pipeline.watch()), asyncio.create_task(_flush())]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await desk.close()
        keys.stop()
        await asyncio.to_thread(desk.sender.close)
        sys.stdout.flush()

    # No page of FastAPI's: it loads scripts from elsewhere; on this origin they could use an investigator's session.
    app = FastAPI(
        title="Fraud desk", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, description=DESCRIPTION
    )
    app.state.desk = desk
    for router in (routes.router, payments.router, reporting.router, console.router):
        app.include_router(router)
    _own_routes(app)
    open_paths = access.open_paths(app)
    components = app.openapi().setdefault("components", {})
    components["securitySchemes"] = {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    components.setdefault("schemas", {}).update(problems.SCHEMAS)
    access.describe(app)
    handlers.install(app)
    return Guard(app, bounds, keys, open_paths)


def _own_routes(app: FastAPI) -> None:
    @app.get("/health/live", include_in_schema=False, dependencies=[Depends(ANYBODY)])
    async def live() -> Response:
        return JSONResponse({"live": True})

    @app.get("/health/ready", include_in_schema=False, dependencies=[Depends(ANYBODY)])
    async def ready() -> Response:
        desk: Desk = app.state.desk
        async with desk.history.connection("asking whether the tables are there") as connection:
            await connection.execute("SELECT FROM alerts, decision_counts, decisions LIMIT 0")
        return JSONResponse({"ready": True})

    @app.get("/metrics", include_in_schema=False, dependencies=[Depends(Allow(Role.OPERATOR))])
    async def measured() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False, dependencies=[Depends(ANYBODY)])
    async def docs() -> Response:
        return page("docs.html", described=app.openapi())


async def _flush() -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        sys.stdout.flush()
