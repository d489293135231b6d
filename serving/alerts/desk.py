"""What the routes of alerts and console share in one process: history, sender, streams, pipeline, accepted keys."""

import asyncio
from collections.abc import Container

from fastapi import Request

from serving.alerts.config import config
from serving.alerts.history import History
from serving.alerts.live import Streams
from serving.alerts.pipeline import Pipeline
from serving.scorer import Scorer
from serving.sending import Sender


class Desk:
    """Opens nothing until something is asked of it: a scorer that only decides has no part in this."""

    def __init__(self, scorer: Scorer, keys: Container[str]) -> None:
        """Keep the scorer, whose health is asked for, and the SHA-256 of each accepted API key."""
        self.keys = keys
        self.history = History()
        self.sender = Sender(f"{config().namespace}." if config().namespace else "")
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
