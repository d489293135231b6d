"""What the routes of alerts and console share in one process: history, sender, streams, pipeline, keys, sessions."""

from fastapi import Request

from serving.config import topic_prefix
from serving.desk.api.events import Streams
from serving.desk.console.session import Sessions
from serving.desk.database import History
from serving.desk.health.pipeline import Pipeline
from serving.desk.verdicts.sender import Sender
from serving.principals.attempts import Attempts
from serving.principals.in_force import KeysInForce
from settings import lakehouse_home


class Desk:
    """Opens nothing until something is asked of it."""

    def __init__(self, keys: KeysInForce) -> None:
        """Keep the API keys in force."""
        self.keys = keys
        self.sessions = Sessions(keys, lakehouse_home() / "sessions")
        self.attempts = Attempts()
        self.history = History()
        self.sender = Sender(topic_prefix())
        self.streams = Streams(self.history)
        self.pipeline = Pipeline(self.history, keys)

    async def close(self) -> None:
        """Close what was opened."""
        await self.pipeline.close()
        await self.history.close()


def desk(request: Request) -> Desk:
    """Return this process's desk, for FastAPI's Depends."""
    found: Desk = request.app.state.desk
    return found
