"""How the pipeline is, part by part: each is really asked, side by side, and judged by what it does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx

from clients import api, kafka, redis
from contracts.topics import DECISIONS, LABELS, STREAM_GROUP, TRANSACTIONS
from errors import LakehouseError
from serving.config import topic_prefix
from serving.desk.api.models import Component, Health
from serving.desk.config import config
from serving.desk.database import History
from serving.desk.health import words
from serving.desk.health.progress import Progress
from serving.desk.health.words import Figures, NotWellError
from serving.desk.sink.consumer import GROUP as SINK_GROUP
from serving.principals.in_force import KeysInForce
from settings import settings

KEPT_S = 2.0
"""Pages that look every few seconds must not become load."""
LOOK_EVERY_S = 15.0
"""Also when nobody asks: progress shows only between two looks."""
SILENT_S = 30.0
"""The stream and the sink write their files every few seconds."""
STILL_S = 45.0
BRONZE_STILL_S = 90.0
"""A batch of the driver may take most of a minute, on a machine at work."""
SCORER_WAIT_S = 3.0
BEHIND = 5_000
Look = Callable[[], Awaitable[tuple[str, Figures]]]


class Pipeline:
    """Asks the parts of the pipeline, at most once in two seconds, and by itself every fifteen."""

    def __init__(self, history: History, keys: KeysInForce) -> None:
        """Begin nothing yet: `watch` does."""
        self._history = history
        self._keys = keys
        self._progress = Progress()
        self._bronze_ends: tuple[str, int] = ("", 0)
        self._scorer = httpx.AsyncClient(timeout=SCORER_WAIT_S, verify=api.trust())
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Health] | None = None

    async def health(self) -> Health:
        """Return how every part is now."""
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_S:
                self._kept = time.monotonic(), await self._look()
            return self._kept[1]

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.health()
            await asyncio.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        """Close what was opened."""
        await self._scorer.aclose()

    async def _look(self) -> Health:
        looks: dict[str, Look] = {
            "scorer": self._asked_scorer,
            "redis": _redis,
            "kafka": _kafka,
            "stream": lambda: self._consuming("stream", STREAM_GROUP, TRANSACTIONS.name),
            "alerts-sink": lambda: self._consuming("alerts-sink", SINK_GROUP, DECISIONS.name),
            "postgres": self._postgres,
            "refused-decisions": self._refused,
            "bronze": self._bronze,
            "refresh": _refresh,
            "keys": self._api_keys,
        }
        found = await asyncio.gather(*(_component(name, look) for name, look in looks.items()))
        return Health(ok=all(each.ok is not False for each in found), at=datetime.now(UTC), components=list(found))

    async def _asked_scorer(self) -> tuple[str, Figures]:
        words.check_starts("scorer")
        address = f"{settings().api_url}/health/ready"
        try:
            answer = await self._scorer.get(address)
            said: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NotWellError(f"{address} does not answer: {type(error).__name__}") from error
        if not answer.is_success:
            raise NotWellError(f"not ready: {said.get('detail') or answer.status_code}")
        if refused := (said.get("rules") or {}).get("refused"):
            raise NotWellError(f"its newest rules are refused: {refused}")
        if trouble := (said.get("recorder") or {}).get("trouble"):
            raise NotWellError(f"its decisions wait on its disk: {trouble}")
        return f"model version {said.get('model')}, breaker to Redis {said.get('online_store')}", said

    async def _api_keys(self) -> tuple[str, Figures]:
        if self._keys.refused:
            raise NotWellError(self._keys.refused)
        return "the file of API keys is in force", {}

    async def _postgres(self) -> tuple[str, Figures]:
        async with self._history.connection("asking how it is") as connection:
            await connection.execute("SELECT 1")
        return "answers", {}

    async def _refused(self) -> tuple[str, Figures]:
        async with self._history.connection("counting refused decisions") as connection:
            statement = "SELECT count(*) AS refused, max(code) AS code, max(reason) AS reason FROM refused_decisions"
            found = await (await connection.execute(statement)).fetchone()
        count = found["refused"] if found else 0
        if found and count:
            raise NotWellError(f"{count:,} are kept, one of them {found['code']}: {found['reason']}")
        return "none", {"refused": count}

    async def _consuming(self, part: str, group: str, topic: str) -> tuple[str, Figures]:
        """Judge a member of a group by its commits; where it runs on this machine, by what it says too."""
        words.check_starts(part)
        places = await asyncio.to_thread(kafka.waiting, _topic(group), _topic(topic))
        lag = sum(end - following for following, end in places.values())
        committed = sum(following for following, _ in places.values())
        still_s = self._progress.still_s(part, committed, waits=lag > 0)
        said: Figures = {}
        with suppress(FileNotFoundError):
            said = words.read(part)
        silent_s = words.age_s(said) if said else 0.0
        if silent_s > SILENT_S:
            raise NotWellError(f"has not spoken for {silent_s:.0f} s; {lag:,} records wait for it")
        if said.get("trouble"):
            raise NotWellError(f"waits: {said['trouble']}")
        if no_rules := said.get("rules_missing") or said.get("rules_refused"):
            raise NotWellError(f"not the rules that were published, but {said['rules'] or 'none'}: {no_rules}")
        if still_s > STILL_S and await asyncio.to_thread(_is_read, _topic(topic), places):
            raise NotWellError(f"has taken nothing for {still_s:.0f} s; {lag:,} records wait for it")
        if said.get("windows_behind"):
            raise NotWellError(f"windows are observed again, payments left by partition: {said['windows_behind']}")
        if lag > BEHIND:
            raise NotWellError(f"{lag:,} records behind")
        if said.get("labels_waiting"):
            raise NotWellError(f"alerts come, but labels of verdicts wait: {said['labels_waiting']}")
        return f"{lag:,} records behind", {**said, "lag": lag}

    async def _bronze(self) -> tuple[str, Figures]:
        """Judge the driver by whether it speaks while records come: when none do, it has nothing to say."""
        words.check_starts("bronze")
        said = words.read("bronze")
        if said["state"] != "running":
            raise NotWellError(f"{said['state']}: {said['detail']}")
        end = await asyncio.to_thread(_end, (TRANSACTIONS.name, DECISIONS.name, LABELS.name))
        if self._bronze_ends[0] != said["updated_at"]:
            self._bronze_ends = (said["updated_at"], end)
        came = end - self._bronze_ends[1] + (said["lag"] or 0)
        still_s = self._progress.still_s("bronze", said["updated_at"], waits=came > 0)
        if still_s > BRONZE_STILL_S:
            raise NotWellError(f"has done nothing for {words.age_s(said):.0f} s, while {came:,} records came")
        return f"{said['good']:,} rows since its start, lag {said['lag'] or 0:,}", said


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


async def _redis() -> tuple[str, Figures]:
    def look() -> redis.Memory:
        with redis.connect() as client:
            return redis.memory(client)

    found = await asyncio.to_thread(look)
    if found.trouble:
        raise NotWellError(found.trouble)
    return f"answers; memory is {found.share:.0%} full", {"used_bytes": found.used, "limit_bytes": found.limit}


async def _kafka() -> tuple[str, Figures]:
    ends = await asyncio.to_thread(kafka.ends, _topic(DECISIONS.name), kafka.LOOK_S)
    return "answers", {"decisions": sum(ends.values())}


async def _refresh() -> tuple[str, Figures]:
    said = words.read("last-refresh")
    minutes = (time.time() - said["at"]) / 60
    if said["ok"] is False:
        raise NotWellError(f"the last one failed {minutes:.0f} minutes ago: {said['text']}")
    if minutes * 60 > config().refresh_late_s:
        raise NotWellError(f"the last one was {minutes:.0f} minutes ago")
    return f"{minutes:.0f} minutes ago, {said['seconds']:.0f} s", said


def _is_read(topic: str, places: dict[int, tuple[int, int]]) -> bool:
    """Return whether a record waits: the end of a transaction takes an offset, and nobody can take it."""
    return any(
        end - following > 1 or kafka.read_one(topic, partition, following) is not None
        for partition, (following, end) in places.items()
        if end > following
    )


def _end(names: tuple[str, ...]) -> int:
    return sum(sum(kafka.ends(name, kafka.LOOK_S).values()) for name in names)


def _topic(name: str) -> str:
    return topic_prefix() + name
