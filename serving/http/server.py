"""Runs one HTTP application in this process: one worker on uvloop; more workers are more processes."""

from collections.abc import Callable
from types import FrameType
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from errors import SettingsError
from serving.config import config as limits
from serving.http import tls
from serving.http.protocol import Bounded, sweep

BACKLOG = 2048
GRACE_S = 5
TICKS_A_SECOND = 10
"""Uvicorn's."""


class Server(uvicorn.Server):
    """Uvicorn, with deadlines for connections that keep it waiting."""

    def __init__(self, config: uvicorn.Config, at_exit: Callable[[], None]) -> None:
        """Call `at_exit` first when a signal ends it: open streams never end by themselves."""
        super().__init__(config)
        self._at_exit = at_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the open streams, then the server."""
        self._at_exit()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Look once a second for connections that keep us waiting."""
        if counter % TICKS_A_SECOND == 0:
            sweep(self.server_state.connections, limits().receive_within_s, limits().connections)
        return await super().on_tick(counter)


def port_of(url: str) -> int:
    """Return the port of an address; SettingsError if it names none."""
    port = urlsplit(url).port
    if port is None:
        raise SettingsError(f"{url} names no port: say --port, or set an address with one")
    return port


def run(app: ASGIApp, host: str, port: int, at_exit: Callable[[], None] = lambda: None) -> None:
    """Serve until a signal ends it; requests under way are answered first."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
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
        **tls.options(limits()),
    )
    Server(config, at_exit).run()
