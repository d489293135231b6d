"""How the pipeline is, part by part: each is really asked, side by side, and what a part said is told."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from clients import kafka
from contracts.topics import DECISIONS, TRANSACTIONS
from errors import LakehouseError
from serving.api.scorer import Scorer
from serving.desk.api.models import Component, Health
from serving.desk.config import config
from serving.desk.database import History
from serving.desk.sink import consumer as sink
from serving.online.pipe import Pipe
from settings import lakehouse_home

KEPT_S = 2.0
"""Pages that look every few seconds must not become load."""
SILENT_S = 60.0
STREAM_GROUP = "stream-scorer"
BEHIND = 5_000
Figures = dict[str, Any]
Look = Callable[[], Awaitable[tuple[str, Figures]]]


class NotWellError(LakehouseError):
    """A part answers, and is not well; its text says why."""


class Pipeline:
    """Asks the parts of the pipeline, at most once in two seconds."""

    def __init__(self, history: History, scorer: Scorer) -> None:
        self._history = history
        self._scorer = scorer
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Health] | None = None

    async def health(self) -> Health:
        """Return how every part is now."""
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_S:
                self._kept = time.monotonic(), await self._look()
            return self._kept[1]

    async def _look(self) -> Health:
        looks: dict[str, Look] = {
            "model": self._model,
            "redis": lambda: _redis(self._scorer.pipe),
            "kafka": _kafka,
            "stream": lambda: _lagging(STREAM_GROUP, TRANSACTIONS.name, "stream"),
            "alerts-sink": lambda: _lagging(sink.GROUP, DECISIONS.name, "alerts-sink"),
            "postgres": self._postgres,
            "bronze": _bronze,
            "refresh": _refresh,
        }
        found = await asyncio.gather(*(_component(name, look) for name, look in looks.items()))
        return Health(ok=all(each.ok is not False for each in found), at=datetime.now(UTC), components=list(found))

    async def _model(self) -> tuple[str, Figures]:
        used = self._scorer.in_use.champion.model
        if used is None:
            raise NotWellError(self._scorer.in_use.champion.trouble or "no model has been loaded yet")
        return f"version {used.version}", {"version": used.version, "sha256": used.sha256}

    async def _postgres(self) -> tuple[str, Figures]:
        async with self._history.connection("asking how it is") as connection:
            await connection.execute("SELECT 1")
        return "answers", {}


async def _component(name: str, look: Look) -> Component:
    try:
        said, figures = await look()
    except FileNotFoundError:
        return Component(name=name, ok=None, said="does not run on this machine, or has not spoken yet")
    except LakehouseError as error:
        return Component(name=name, ok=False, said=getattr(error, "detail", str(error)))
    except KeyError:
        return Component(name=name, ok=None, said="has only begun to speak")
    return Component(name=name, ok=True, said=said, figures=figures)


async def _redis(pipe: Pipe) -> tuple[str, Figures]:
    await pipe.send([(b"PING",)])
    return f"answers; breaker {pipe.breaker.state}", {"breaker": str(pipe.breaker.state)}


async def _kafka() -> tuple[str, Figures]:
    ends = await asyncio.to_thread(kafka.ends, _topic(DECISIONS.name), kafka.LOOK_S)
    return "answers", {"decisions": sum(ends.values())}


async def _lagging(group: str, topic: str, note: str) -> tuple[str, Figures]:
    lag = await asyncio.to_thread(kafka.lag, _topic(group), _topic(topic))
    said = _note(note)
    silent_s = time.time() - said["updated_at"]
    figures = {**said, "lag": lag}
    if silent_s > SILENT_S:
        raise NotWellError(f"has not spoken for {silent_s:.0f} s; {lag:,} records wait for it")
    if said.get("trouble"):
        raise NotWellError(f"waits: {said['trouble']}")
    if no_rules := said.get("rules_missing") or said.get("rules_refused"):
        raise NotWellError(f"not the rules that were published, but {said['rules'] or 'none'}: {no_rules}")
    if said.get("windows_behind"):
        raise NotWellError(f"windows are observed again, payments left by partition: {said['windows_behind']}")
    if lag > BEHIND:
        raise NotWellError(f"{lag:,} records behind")
    return f"{lag:,} records behind", figures


async def _bronze() -> tuple[str, Figures]:
    said = _note("bronze")
    if said["state"] != "running":
        raise NotWellError(f"{said['state']}: {said['detail']}")
    return f"{said['good']:,} rows since its start, lag {said['lag'] or 0:,}", said


async def _refresh() -> tuple[str, Figures]:
    said = _note("last-refresh")
    minutes = (time.time() - said["at"]) / 60
    if said["ok"] is False:
        raise NotWellError(f"the last one failed {minutes:.0f} minutes ago: {said['text']}")
    return f"{minutes:.0f} minutes ago, {said['seconds']:.0f} s", said


def _note(name: str) -> Figures:
    """Return what a service says of itself in this stack's folder; FileNotFoundError if it says nothing here."""
    try:
        note: Figures = json.loads((lakehouse_home() / "status" / f"{name}.json").read_text())
    except ValueError as error:
        raise NotWellError(f"its status file cannot be read: {error}") from error
    return note


def _topic(name: str) -> str:
    return config().prefix + name
