"""The stream scorer: decides every payment on Kafka within milliseconds, then observes it in its card's window.

The order of a batch is: decisions acknowledged, then windows in Redis, then the group's commit. Killed between two of
them, the next owner takes the batch again: a payment whose offset stands in its card's window is done, any other is
decided (again, under the same place). While Kafka acknowledges one batch the next is read and scored, on the windows as
the first leaves them; it is sent when those are stored. Redis away: decisions go on without profiles and windows,
degraded and marked.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

import features
from clients import kafka, registry
from clients.redis import Line
from contracts.identity import hash_key
from contracts.topics import STREAM_GROUP, TRANSACTIONS
from errors import UnreachableError
from features import Profile, Status
from lake import card_key
from serving import garbage
from serving.decide.decision import Known, decide
from serving.decide.stages import Clock
from serving.in_use import Watched
from serving.online.breaker import Breaker, Limits
from serving.online.fetch import Online, fetch
from serving.online.pipe import Pipe
from serving.online.profiles import UNREACHABLE
from serving.online.windows import Card, Progress, packed, read
from serving.stream import intake
from serving.stream.intake import Arrival
from serving.stream.observer import Observer, Part, take_in
from serving.stream.publisher import Outbox
from serving.stream.statistics import Statistics
from settings import lakehouse_home, settings

LARGEST = 2_000
WAIT_S = 0.2
COMMIT_EVERY_S = 0.5
SWITCH_S = 0.0005
"""How long a thread waits for Python's lock between two computations: the scoring beside, mostly."""
POLICY_WITHIN_S = 30.0
"""How long a start without a copy of the policy waits for Kafka's; then payments are decided without."""
MODEL_WITHIN_S = 60.0
"""How long a start without a kept model waits for MLflow; then payments are approved by the fallback."""
LIMITS = Limits(timeout_s=0.5, slow_s=0.4, wait_s=1.0)
STALE = Profile(Status.STALE)


@dataclass(frozen=True)
class Sent:
    """A batch whose decisions are on their way to Kafka, and what has to follow when they are acknowledged."""

    batch: intake.Batch
    parts: Mapping[int, Part]
    """Its partitions, as we owned them."""
    progress: Mapping[int, Progress]
    """Of those whose windows it moves on."""
    cards: Mapping[str, Card] | None
    """As the batch left them; the next one takes its payments into the same objects. None: Redis was away."""
    windows: Mapping[str, bytes]
    """The same, packed."""
    sound: bool
    """Whether all the windows that it needed stood; else what it leaves is not known before it is stored."""
    taken: Sequence[Arrival]
    records: Sequence[Mapping[str, Any]]
    alerts: int
    clock: Clock


class Stream:
    """One member of the group that decides; it owns some partitions, and nothing but their windows."""

    def __init__(self, namespace: str = "", member: str = "") -> None:
        """Open the connections; UnreachableError when the registry or Kafka is away.

        A namespace (for tests and trials) keeps topics and group apart from the platform's own. A member that is
        started again under its name has its partitions back at once.
        """
        prefix = f"{namespace}." if namespace else ""
        self._topic = prefix + TRANSACTIONS.name
        self.stopping = False
        self._line = Line()
        self._pipe = Pipe(self._line.run, Breaker(LIMITS))
        self._writer = registry.writers(TRANSACTIONS)
        self._outbox = Outbox(prefix)
        self._consumer: Consumer = kafka.member(prefix + STREAM_GROUP, member)
        self._decision_key = hash_key(settings().decision_key.get_secret_value(), "DECISION_KEY")
        self._observer = Observer(self._pipe, self._consumer, self._topic, self._writer, self._decision_key)
        self._statistics = Statistics(lakehouse_home() / "status" / "stream.json")
        self._in_use = Watched("stream", prefix)
        self._topic_id = kafka.topic_id(self._topic)
        self._committed_at = 0.0

    async def run(self) -> None:
        """Decide until told to stop; UnreachableError when Kafka or the registry stays away."""
        sys.setswitchinterval(SWITCH_S)
        self._in_use.start(POLICY_WITHIN_S, MODEL_WITHIN_S)
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, parts: self._observer.join([part.partition for part in parts]),
            on_revoke=self._leave,
            on_lost=lambda _, parts: self._observer.leave([part.partition for part in parts]),
        )
        garbage.spare()
        behind, sent = False, None
        try:
            while not self.stopping:
                if messages := self._take(0.0 if behind or sent else WAIT_S):
                    sent = await self._decide(messages, sent)
                if sent and not (messages and sent.sound and self._observer.whole):
                    await self._finish(sent)
                    sent = None
                behind = not sent and await self._observer.catch_up()
                await self._observer.heartbeat(idle=sent is None)
                self._commit()
                self._statistics.tell(self._observer.parts, self._in_use.champion.model, self._in_use.rules)
            if sent:
                await self._finish(sent)
        except KafkaException as error:
            raise UnreachableError(f"kafka: {error}; see `make status`") from error
        finally:
            with suppress(KafkaException):  # what is not committed is taken again, and known by its offset
                self._commit(last=True)
            self._in_use.stop()
            self._observer.close()
            self._consumer.close()
            await self._line.close()

    def _take(self, wait_s: float) -> list[Message]:
        messages = kafka.take(self._consumer, LARGEST, wait_s)
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        # A partition may have been taken from us between the two calls: its next owner decides.
        return [message for message in messages if message.partition() in self._observer.parts]

    def _leave(self, _: Consumer, parts: Sequence[TopicPartition]) -> None:
        with suppress(KafkaException):
            self._commit(last=True)
        self._observer.leave([part.partition for part in parts])

    async def _decide(self, messages: Sequence[Message], before: Sent | None) -> Sent:
        """Decide a batch; when the one `before` it is finished, send the decisions, which leaves this one to finish."""
        clock = Clock()
        batch = intake.read(messages, self._writer, self._decision_key)
        clock.lap("decode")
        await self._observer.settle()
        parts = self._observer.parts
        owners = {a.payment["card_id"]: a.partition for a in batch.arrivals if parts[a.partition].whole}
        stored = {number: part.stored for number, part in parts.items() if part.whole}
        online = await fetch(self._pipe, [arrival.payment for arrival in batch.arrivals])
        cards = cards_of(online, owners, stored)
        if before and before.cards and cards is not None:
            cards |= {card_id: card for card_id, card in before.cards.items() if card_id in cards}
        clock.lap("find")
        taken: list[Arrival] = []
        known: list[Known] = []
        for arrival, (card, acceptor) in zip(batch.arrivals, online.profiles, strict=True):
            window = self._window(arrival, cards)
            if window is not None:
                taken.append(arrival)
                vector = features.build(arrival.payment, card, acceptor, window)
                known.append(Known(vector, online.notes.get(arrival.payment["card_id"], ())))
        clock.lap("build")
        subjects = [arrival.subject(self._topic_id) for arrival in taken]
        now_us = time.time_ns() // 1_000
        decided = decide(subjects, known, self._in_use.now, now_us, clock, beside=self._in_use.beside)
        self._statistics.add_rulings([each.ruling for each in decided])
        records = [each.record for each in decided]
        finished = self._finish(before) if before else asyncio.sleep(0)
        outgoing, _ = await asyncio.gather(self._outbox.encode(records), finished)
        clock.resume()
        alerts = self._outbox.send(outgoing)
        clock.lap("send")
        sound = cards is not None and cards.keys() == owners.keys()
        whole = stored if sound else ()
        progress = {p: Progress(end, batch.last_us[p]) for p, end in batch.ends.items() if p in whole}
        owned = {partition: parts[partition] for partition in batch.ends}
        return Sent(batch, owned, progress, cards, packed(cards or {}), sound, taken, records, alerts, clock)

    async def _finish(self, sent: Sent) -> None:
        """Wait until a batch's decisions are acknowledged, then store the windows as it left them."""
        sent.clock.resume()
        self._outbox.settle()
        sent.clock.lap("acknowledge")
        # A partition that was taken from us meanwhile is its next owner's, even if that is us again.
        ours = {p: part for p, part in sent.parts.items() if self._observer.parts.get(p) is part}
        # If the windows of the batch before could not be stored, these may be all that there is: not to be vouched for.
        progress = {p: at for p, at in sent.progress.items() if p in ours and ours[p].whole}
        for partition, part in ours.items():
            part.position = sent.batch.ends[partition]
        if sent.cards is None:
            self._observer.doubt()
        else:
            windows = {c: value for c, value in sent.windows.items() if sent.cards[c].partition in progress}
            await self._observer.write(progress, windows)
        sent.clock.lap("store")
        self._statistics.add(sent.taken, sent.records, sent.alerts, sent.batch, sent.clock)

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
        event = arrival.observation
        profile = features.windowed(arrival.payment, card.window, arrival.at_us, event)
        return profile if take_in(card, arrival, event) else None

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


def cards_of(online: Online, owners: Mapping[str, int], stored: Mapping[int, int]) -> dict[str, Card] | None:
    """Return the windows of the cards in `owners` (card to partition); None: Redis is away.

    `stored` has the next offset that each of our whole partitions must have in Redis: windows of another progress are
    left out.
    """
    if online.windows is None:
        return None
    found = read(owners, [online.windows[card_id] for card_id in owners])
    stand = {p for p, at in stored.items() if Progress.unpack(online.progress[p]).next_offset == at}
    return {card_id: card for card_id, card in found.items() if owners[card_id] in stand}


def run(namespace: str = "", member: str = "") -> None:
    """Run one stream scorer until SIGTERM or SIGINT; SettingsError if the lake's cards have another key."""
    card_key.verified()
    stream = Stream(namespace, member)

    def stop(*_: object) -> None:
        stream.stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    asyncio.run(stream.run())
