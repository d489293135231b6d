"""The interactive page of the OpenAPI description, from this host alone: nothing is loaded from another one."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, HTMLResponse, Response

from serving.http.access import ANYBODY

router = APIRouter(prefix="/docs", include_in_schema=False, dependencies=[Depends(ANYBODY)])
FILES = Path(fastapi_offline.__file__).parent / "static"
POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fraud scorer</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon.png">
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
START = "SwaggerUIBundle({url: '/openapi.json', dom_id: '#page', deepLinking: true, validatorUrl: null})\n"


@router.get("")
async def page() -> HTMLResponse:
    """Show the description, with a form for each route."""
    return HTMLResponse(PAGE, headers=POLICY)


@router.get("/start.js")
async def start() -> Response:
    """Start the page: the policy forbids scripts within it."""
    return Response(START, headers=POLICY, media_type="text/javascript")


@router.get("/swagger-ui-bundle.js")
async def script() -> FileResponse:
    """Serve Swagger UI's own script."""
    return FileResponse(FILES / "swagger-ui-bundle.js", headers=POLICY)


@router.get("/swagger-ui.css")
async def style() -> FileResponse:
    """Serve Swagger UI's own style."""
    return FileResponse(FILES / "swagger-ui.css", headers=POLICY)


@router.get("/favicon.png")
async def icon() -> FileResponse:
    """Serve the icon."""
    return FileResponse(FILES / "favicon.png", headers=POLICY)
