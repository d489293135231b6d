"""What the routes of alerts and console share in one process: history, sender, streams, pipeline, accepted keys."""

from collections.abc import Container

from fastapi import Request

from serving.config import topic_prefix
from serving.desk.api.events import Streams
from serving.desk.database import History
from serving.desk.health.pipeline import Pipeline
from serving.outbox.sender import Sender


class Desk:
    """Opens nothing until something is asked of it."""

    def __init__(self, keys: Container[str]) -> None:
        """Keep the SHA-256 of each accepted API key."""
        self.keys = keys
        self.history = History()
        self.sender = Sender(topic_prefix())
        self.streams = Streams(self.history)
        self.pipeline = Pipeline(self.history)

    async def close(self) -> None:
        """Close what was opened."""
        await self.pipeline.close()
        await self.history.close()


def desk(request: Request) -> Desk:
    """Return this process's desk, for FastAPI's Depends."""
    found: Desk = request.app.state.desk
    return found
