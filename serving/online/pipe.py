"""One pipeline to Redis for all requests under way: what arrives while a round trip is out goes with the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from clients.redis import Command
from errors import ServerError
from serving.online.breaker import Breaker

Run = Callable[[Sequence[Command]], Awaitable[list[Any]]]
LARGEST_BATCH = 256


class Pipe:
    """Sends commands of many callers through one connection, guarded by one breaker.

    A lone request goes at once; under load a round trip carries the commands of many, so its cost is shared. A failed
    or refused round trip fails all its callers with the same error: each then answers without profiles.
    """

    def __init__(self, run: Run, breaker: Breaker) -> None:
        """Use `run` (one round trip for a list of commands) behind `breaker`; nothing is sent yet."""
        self._run = run
        self.breaker = breaker
        self._waiting: deque[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to `commands`, in order; UnreachableError (or another ServerError) if there are none."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await future

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send_batch(self._next_batch())
        finally:
            self._sender = None

    def _next_batch(self) -> list[tuple[Sequence[Command], asyncio.Future[list[Any]]]]:
        batch, size = [], 0
        while self._waiting and size < LARGEST_BATCH:
            commands, future = self._waiting.popleft()
            if not future.done():  # its caller may have gone
                batch.append((commands, future))
                size += len(commands)
        return batch

    async def _send_batch(self, batch: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]]) -> None:
        together = [command for commands, _ in batch for command in commands]
        if not together:
            return
        try:
            answers = await self.breaker.call(lambda: self._run(together))
        except Exception as error:  # handed to every caller, not swallowed
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        start = 0
        for commands, future in batch:
            mine = answers[start : start + len(commands)]
            start += len(commands)
            refused = next((answer for answer in mine if isinstance(answer, ServerError)), None)
            if not future.done():
                future.set_exception(refused) if refused else future.set_result(mine)
