"""The stream scorer: decides every payment on Kafka within milliseconds, then observes it in its card's window.

The order of a batch is: decisions acknowledged, then windows in Redis, then the group's commit. Killed between two of
them, the next owner takes the batch again: a payment whose offset stands in its card's window is done, any other is
decided (again, under the same place). Redis away: decisions go on without profiles and windows, degraded and marked.
"""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

import features
from clients import kafka, registry
from clients.redis import Line
from contracts.topics import TRANSACTIONS
from errors import UnreachableError
from features import FeatureVector, Profile, Status
from scoring.decision import Scored, decide
from scoring.ruling import rule
from serving import decided, inforce, intake, lookup
from serving.breaker import Breaker, Limits
from serving.champion import Champion
from serving.config import config
from serving.decided import Ruled
from serving.intake import Arrival
from serving.observer import Observer, take_in
from serving.online import UNREACHABLE
from serving.outbox import Outbox
from serving.pipe import Pipe
from serving.tally import Clock, Tally
from serving.window_store import Card, Progress
from settings import lakehouse_home

GROUP = "stream-scorer"
LARGEST = 500
WAIT_S = 0.2
COMMIT_EVERY_S = 0.5
MODEL_WITHIN_S = 60.0
"""How long a start without a kept model waits for MLflow; then payments are approved by the fallback."""
LIMITS = Limits(timeout_s=0.5, slow_s=0.4, wait_s=1.0)
STALE = Profile(Status.STALE)


class Stream:
    """One member of the group that decides; it owns some partitions, and nothing but their windows."""

    def __init__(self, namespace: str = "", member: str = "") -> None:
        """Open the connections; UnreachableError when the registry is away.

        A namespace (for tests and trials) keeps topics and group apart from the platform's own. A member that is
        started again under its name has its partitions back at once.
        """
        prefix = f"{namespace}." if namespace else ""
        self._topic = prefix + TRANSACTIONS.name
        self.stopping = False
        self._line = Line()
        self._pipe = Pipe(self._line.run, Breaker(LIMITS))
        self._champion = Champion(lakehouse_home() / "cache" / "stream", config().poll_s)
        self._rules = inforce.InForce(inforce.files(), config().rules_poll_s)
        self._writer = registry.writers()
        self._outbox = Outbox(prefix)
        self._consumer: Consumer = kafka.member(prefix + GROUP, member)
        self._observer = Observer(self._pipe, self._consumer, self._topic, self._writer)
        self._tally = Tally(lakehouse_home() / "status" / "stream.json")
        self._committed_at = 0.0

    async def run(self) -> None:
        """Decide until told to stop; UnreachableError when Kafka or the registry stays away."""
        self._rules.start()
        self._champion.start()
        if self._champion.model is None:
            self._champion.answered.wait(MODEL_WITHIN_S)
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, parts: self._observer.join([part.partition for part in parts]),
            on_revoke=self._leave,
            on_lost=lambda _, parts: self._observer.leave([part.partition for part in parts]),
        )
        behind = False
        try:
            while not self.stopping:
                if messages := self._take(0.0 if behind else WAIT_S):
                    await self._decide(messages)
                behind = await self._observer.catch_up()
                await self._observer.heartbeat()
                self._commit()
                self._tally.tell(self._observer.parts, self._champion.model, self._rules)
        except KafkaException as error:
            raise UnreachableError(f"kafka: {error}; see `make status`") from error
        finally:
            with suppress(KafkaException):  # what is not committed is taken again, and known by its offset
                self._commit(last=True)
            self._champion.stop()
            self._rules.stop()
            self._observer.close()
            self._consumer.close()
            await self._line.close()

    def _take(self, wait_s: float) -> list[Message]:
        # One message, then whatever else is there: to ask for many at once would wait for them.
        first = self._consumer.consume(1, wait_s)
        messages = first + self._consumer.consume(LARGEST - 1, 0) if first else []
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        # A partition may have been taken from us between the two calls: its next owner decides.
        return [message for message in messages if message.partition() in self._observer.parts]

    def _leave(self, _: Consumer, parts: Sequence[TopicPartition]) -> None:
        with suppress(KafkaException):
            self._commit(last=True)
        self._observer.leave([part.partition for part in parts])

    async def _decide(self, messages: Sequence[Message]) -> None:
        clock = Clock()
        batch = intake.read(messages, self._writer)
        clock.lap("decode")
        await self._observer.settle()
        parts = self._observer.parts
        owners = {a.payment["card_id"]: a.partition for a in batch.arrivals if parts[a.partition].whole}
        stored = {number: part.stored for number, part in parts.items() if part.whole}
        profiles, cards, notes = await lookup.find(self._pipe, batch.arrivals, owners, stored)
        clock.lap("find")
        taken, vectors = [], []
        for arrival, (card, acceptor) in zip(batch.arrivals, profiles, strict=True):
            window = self._window(arrival, cards)
            if window is not None:
                taken.append(arrival)
                vectors.append(features.build(arrival.payment, card, acceptor, window))
        clock.lap("build")
        records = self._records(taken, vectors, notes, clock)
        alerts = self._outbox.send(records)
        clock.lap("acknowledge")
        whole = {p: Progress(end, batch.last_us[p]) for p, end in batch.ends.items() if p in stored}
        for partition, end in batch.ends.items():
            parts[partition].position = end
        if cards is None:
            self._observer.doubt()
        else:
            await self._observer.write(whole, cards)
        clock.lap("store")
        self._tally.add(taken, records, alerts, batch, clock)

    def _window(self, arrival: Arrival, cards: dict[str, Card] | None) -> Profile | None:
        """Take the payment into its card's window and return what that said before; None if there is no decision."""
        if cards is None:
            return UNREACHABLE if arrival.is_decided else None
        card = cards.get(arrival.payment["card_id"])
        if card is None:
            return STALE if arrival.is_decided else None
        if not arrival.is_decided:
            take_in(card, arrival)
            return None
        profile = features.windowed(arrival.payment, card.window, arrival.at_us)
        return profile if take_in(card, arrival) else None

    def _records(
        self, arrivals: Sequence[Arrival], vectors: list[FeatureVector], notes: lookup.Notes, clock: Clock
    ) -> list[dict[str, Any]]:
        model = self._champion.model
        if not arrivals:
            return []
        if model is None:
            ruled = self._rule(arrivals, vectors, None, 0.0, notes)
            stages = clock.text(len(arrivals))
            return [decided.by_fallback(*each, stages) for each in zip(arrivals, vectors, ruled, strict=True)]
        scored = decide(model, vectors, explain_all=False)
        clock.lap("score")
        ruled = self._rule(arrivals, vectors, scored, model.manifest.threshold, notes)
        clock.lap("rules")
        stages = clock.text(len(arrivals))
        records = [decided.by_model(a, s, model, r, stages) for a, s, r in zip(arrivals, scored, ruled, strict=True)]
        clock.lap("record")
        return records

    def _rule(
        self,
        arrivals: Sequence[Arrival],
        vectors: Sequence[FeatureVector],
        scored: Sequence[Scored] | None,
        threshold: float,
        notes: lookup.Notes,
    ) -> list[Ruled]:
        rules, now_us = self._rules.ruleset, time.time_ns() // 1_000
        version = rules.version if rules else None
        found = []
        for arrival, vector, said in zip(arrivals, vectors, scored or repeat(None, len(arrivals)), strict=True):
            known = notes.get(arrival.payment["card_id"], ())
            ruling = rule(rules, arrival.payment, vector, said, threshold=threshold, notes=known, now_us=now_us)
            found.append(Ruled(ruling, version, now_us))
        self._tally.add_ruled(found)
        return found

    def _commit(self, *, last: bool = False) -> None:
        if not last and time.monotonic() - self._committed_at < COMMIT_EVERY_S:
            return
        self._committed_at = time.monotonic()
        offsets = [TopicPartition(self._topic, p, part.position) for p, part in self._observer.parts.items()]
        if not offsets:
            return
        if last:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        else:
            self._consumer.commit(offsets=offsets, asynchronous=True)


def run(namespace: str = "", member: str = "") -> None:
    """Run one stream scorer until SIGTERM or SIGINT."""
    stream = Stream(namespace, member)

    def stop(*_: object) -> None:
        stream.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    asyncio.run(stream.run())
