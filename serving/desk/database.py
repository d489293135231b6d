"""The alerts' history for the desk: a small pool opened by the first request; PostgreSQL away is one clear 503."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clients import postgres
from clients.postgres import AsyncConnection, Pool
from errors import RefusedValueError, ServerError
from serving.http.problems import ProblemError

log = logging.getLogger(__name__)
LONGEST_S = 8.0
RETRY_AFTER = {"retry-after": "5"}


class History:
    """Connections to PostgreSQL for this process's requests."""

    def __init__(self) -> None:
        """Open nothing yet: the desk answers for its health without a database."""
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self, doing: str) -> AsyncIterator[AsyncConnection]:
        """Lend a connection whose work is one transaction; ProblemError 503 when PostgreSQL does not do its part.

        422 when it takes a value for impossible.
        """
        try:
            with postgres.mapped(doing):
                async with asyncio.timeout(LONGEST_S), (await self._opened()).connection() as lent:
                    yield lent
        except RefusedValueError as error:
            log.info("%s", error)
            text = "a value has something that no id and no number here can have, such as a NUL"
            raise ProblemError(422, "out_of_range", text) from error
        except ServerError as error:
            log.warning("%s", error)
            text = "the alerts' history does not answer; decisions go on without it. Try again in a few seconds"
            raise ProblemError(503, "history_unavailable", text, headers=dict(RETRY_AFTER)) from error

    async def close(self) -> None:
        """Close what was opened."""
        if self._pool is not None:
            await self._pool.close(timeout=1.0)

    async def _opened(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                pool = postgres.pool()
                await pool.open()
                self._pool = pool
            return self._pool
