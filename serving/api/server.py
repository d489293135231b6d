"""Runs the HTTP application in this process: one worker on uvloop; more workers are more processes."""

from types import FrameType
from urllib.parse import urlsplit

import uvicorn

from serving.api.app import create
from serving.config import config as limits
from serving.desk.api import events as live
from serving.http.protocol import Bounded, sweep
from settings import settings

BACKLOG = 2048
GRACE_S = 5
TICKS_A_SECOND = 10
"""Uvicorn's."""


class Server(uvicorn.Server):
    """Uvicorn, which waits for open requests at the end: those that never end by themselves are told to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the open streams, then the server."""
        live.stopping.set()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Look once a second for connections that keep us waiting."""
        if counter % TICKS_A_SECOND == 0:
            sweep(self.server_state.connections, limits().receive_within_s, limits().connections)
        return await super().on_tick(counter)


def run(host: str, port: int | None) -> None:
    """Serve until a signal ends it; requests under way are answered first."""
    number = port or urlsplit(settings().api_url).port or 8000
    config = uvicorn.Config(
        create(f"scorer-{number}"),
        host=host,
        port=number,
        loop="uvloop",
        http=Bounded,
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
