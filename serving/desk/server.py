"""Runs the desk's application in this process, on a port of its own: what it does, the scorer never waits for."""

from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from serving.desk.api import events
from serving.desk.app import create
from settings import settings

GRACE_S = 5


class Server(uvicorn.Server):
    """Uvicorn, which waits for open requests at the end: streams of events never end by themselves and are told to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the open streams, then the server."""
        events.stopping.set()
        super().handle_exit(sig, frame)


def run(host: str, port: int | None) -> None:
    """Serve until a signal ends it; requests under way are answered first."""
    config = uvicorn.Config(
        create(),
        host=host,
        port=port or urlsplit(settings().desk_url).port or 8001,
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,  # the guard writes one, without personal data
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    Server(config).run()
