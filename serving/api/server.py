"""Runs the HTTP application in this process: one worker on uvloop; more workers are more processes."""

from urllib.parse import urlsplit

import uvicorn

from serving.api.app import create
from serving.http.protocol import OneWrite
from settings import settings

BACKLOG = 2048
GRACE_S = 5


def run(host: str, port: int | None) -> None:
    """Serve until a signal ends it; requests under way are answered first."""
    number = port or urlsplit(settings().api_url).port or 8000
    config = uvicorn.Config(
        create(f"scorer-{number}"),
        host=host,
        port=number,
        loop="uvloop",
        http=OneWrite,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        access_log=False,  # the guard writes one, without personal data
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    uvicorn.Server(config).run()
