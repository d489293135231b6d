"""What the routes of alerts and console share in one process: history, sender, streams, pipeline, accepted keys."""

import asyncio
from collections.abc import Container

from fastapi import Request

from serving.api.scorer import Scorer
from serving.desk.api.events import Streams
from serving.desk.config import config
from serving.desk.database import History
from serving.desk.health.pipeline import Pipeline
from serving.outbox.sender import Sender


class Desk:
    """Opens nothing until something is asked of it: a scorer that only decides has no part in this."""

    def __init__(self, scorer: Scorer, keys: Container[str]) -> None:
        """Keep the scorer, and the SHA-256 of each accepted API key."""
        self.keys = keys
        self.history = History()
        self.sender = Sender(config().prefix)
        self.streams = Streams(self.history)
        self.pipeline = Pipeline(self.history, scorer)

    async def close(self) -> None:
        """Close what was opened."""
        await self.history.close()
        await asyncio.to_thread(self.sender.close)


def desk(request: Request) -> Desk:
    """Return this process's desk, for FastAPI's Depends."""
    found: Desk = request.app.state.desk
    return found
