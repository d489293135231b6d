"""Runs the HTTP application in this process: one worker on uvloop; more workers are more processes."""

from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from serving.api.app import create
from serving.desk.api import events as live
from serving.http.protocol import OneWrite
from settings import settings

BACKLOG = 2048
GRACE_S = 5


class Server(uvicorn.Server):
    """Uvicorn, which waits for open requests at the end: those that never end by themselves are told to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the open streams, then the server."""
        live.stopping.set()
        super().handle_exit(sig, frame)


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
    Server(config).run()
