"""A stream scorer of a test's own: topics in a namespace, a Redis of its own, the tiny model, and what must come."""

import json
import random
import struct
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka.admin import AdminClient

import features
from clients import kafka, registry
from contracts import schemas, topics, wire
from contracts.arrival import observed
from infra.native import stackenv
from infra.native.paths import current_home
from scoring import manifest as manifests
from serving.models.cache import Kept, store
from serving.online.windows import Card, Progress, key
from settings import settings
from tests import tiny_model
from tests.scorer_process import NOWHERE, Process, Valkey

MOMENT_US = 20_000_000
Record = dict[str, Any]
Origin = tuple[int, int]
"""Partition and offset of a payment."""
CRASHING = """
import os, signal, sys
from serving.stream import scorer as stream
from serving.stream import statistics as tally
stage, times = sys.argv[2], int(sys.argv[3])
lap = tally.Clock.lap
def lap_then_die(clock, name):
    global times
    lap(clock, name)
    times -= name == stage
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
tally.Clock.lap = lap_then_die
stream.LARGEST = 200
stream.run(sys.argv[1], sys.argv[4])
"""
"""A stream scorer that takes small batches, and is killed after a stage of its n-th."""


def payments(count: int, cards: int = 40, seed: int = 1, ago_s: float = 3_600) -> list[Record]:
    """Return payments of the last `ago_s` seconds in the order of their arrival: late ones, repeats, refunds too.

    Many of a card are of one moment, as where clocks tell whole seconds.
    """
    random_ = random.Random(seed)
    start, step = time.time_ns() // 1_000 - int(ago_s * 1e6), int(ago_s * 1e6 / count)
    made: list[Record] = []
    for number in range(count):
        card = random_.randrange(cards)
        late = random_.choice([0] * 20 + [60, 590, 700]) * 1_000_000
        required = {
            "source": "trial",
            "transaction_id": f"{seed}-{number}",
            "event_time": (start + number * step - late) // MOMENT_US * MOMENT_US,
            "card_id": f"{card:064x}",
            "amount_minor": random_.randrange(1, 90_000),
            "currency": "USD",
            "message_type": random_.choice(["authorization"] * 20 + ["refund", "verification", "advice"]),
            "merchant_id": f"m{random_.randrange(20)}",
            "mcc": random_.choice(["5411", "7995", None]),
            "entry_mode": random_.choice(["chip", "ecommerce", None]),
            "latitude": random_.uniform(30, 50),
            "longitude": random_.uniform(-120, -70),
        }
        made.append(schemas.defaults("transaction") | required)
        if random_.random() < 0.02:
            made.append(random_.choice(made[-50:]))
    return made


class Trial:
    """Topics, a Redis and stream scorers of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.namespace = folder, f"test-{uuid.uuid4().hex[:8]}"
        self.topic, self.decisions, self.alerts = (
            f"{self.namespace}.{topic.name}" for topic in (topics.TRANSACTIONS, topics.DECISIONS, topics.ALERTS)
        )
        # Kept by its name: a client that is gone never answers.
        admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
        made = admin.create_topics(
            [
                kafka.new_topic(topic, self.namespace)
                for topic in (topics.TRANSACTIONS, topics.DECISIONS, topics.ALERTS, topics.POLICY)
            ]
        )
        for future in made.values():
            future.result(30)
        self.schema_id = registry.schema_id(topics.TRANSACTIONS)
        self.valkey = Valkey.at(folder)
        self.valkey.start()
        self.home = folder / "home"
        files = tiny_model.files()
        store(self.home / "cache" / "stream", Kept("1", manifests.sha256(files[manifests.MANIFEST_FILE]), files))
        self.log = folder / "stream.log"
        self.processes: list[Process] = []

    def members(self) -> int:
        """Return how many members of the group have partitions."""
        # Kept by its name: a client that is gone never answers.
        admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
        group = f"{self.namespace}.{topics.STREAM_GROUP}"
        found = admin.describe_consumer_groups([group])[group].result(30).members
        return sum(bool(member.assignment.topic_partitions) for member in found)

    def start(self, *crash: str, member: str = "") -> Process:
        """Start a stream scorer; `crash` is a stage and a count, after which it is killed."""
        if crash:
            return self._run("-c", CRASHING, self.namespace, *crash, member)
        return self.run("stream", "--namespace", self.namespace, "--member", member)

    def run(self, *arguments: str) -> Process:
        """Start `python -m serving ARGUMENTS`."""
        return self._run("-m", "serving", *arguments)

    def _run(self, *command: str) -> Process:
        environment = stackenv.required(current_home()) | {
            "PATH": "/usr/bin:/bin",
            "LAKEHOUSE_HOME": str(self.home),
            "REDIS_URL": self.valkey.url,
            "MLFLOW_TRACKING_URI": NOWHERE,
        }
        process = Process([sys.executable, *command], environment, self.log)
        process.start()
        self.processes.append(process)
        return process

    def send(self, records: Iterable[Record | bytes], rate: float | None = None) -> None:
        """Send records (bytes as they are), at `rate` a second or at once, and wait until the broker has them."""
        producer, schema = kafka.producer(), schemas.parsed("transaction")
        for record in records:
            value = record if isinstance(record, bytes) else wire.encode(record, schema, self.schema_id)
            card = b"bad" if isinstance(record, bytes) else record["card_id"].encode()
            producer.produce(self.topic, value, card)
            producer.poll(1 / rate if rate else 0)
        assert producer.flush(60) == 0

    def arrived(self) -> dict[Origin, Record]:
        """Return every good payment on Kafka by its place, in order of partition and offset."""
        found = {}
        for message in kafka.read_all(self.topic):
            value = message.value() or b""
            if value[:5] == b"\x00" + self.schema_id.to_bytes(4, "big"):
                _, record = wire.decode(value, lambda _: schemas.parsed("transaction"), "transaction")
                found[message.partition(), message.offset()] = record | {"_at_us": message.timestamp()[1] * 1_000}
        return dict(sorted(found.items()))

    def decided(self, topic: str | None = None) -> dict[Origin, list[Record]]:
        """Return the decisions on Kafka by the place of their payment."""
        found: dict[Origin, list[Record]] = defaultdict(list)
        for message in kafka.read_all(topic or self.decisions):
            _, record = wire.decode(message.value(), lambda _: schemas.parsed("decision"), "decision")
            found[record["payment_partition"], record["payment_offset"]].append(record)
        return found

    def due(self) -> set[Origin]:
        """Return the places of the payments on which a decision is due."""
        return {
            place for place, payment in self.arrived().items() if payment["message_type"] not in features.NOT_ATTEMPTS
        }

    def count(self) -> int:
        """Return the number of decisions on Kafka."""
        return sum(end - first for first, end in kafka.offsets(self.decisions).values())

    def wait_until_whole(self, timeout_s: float = 90) -> None:
        """Wait until every partition is observed to its end."""
        ends = kafka.ends(self.topic)
        deadline = time.monotonic() + timeout_s
        while self.progress() != ends:
            assert time.monotonic() < deadline, f"windows are at {self.progress()}, not at {ends}\n{self.said()}"
            time.sleep(0.05)

    def progress(self) -> dict[int, int]:
        """Return the next offset of each partition, as Redis has it."""
        with self.valkey.client() as client:
            values = client.mget([f"window:{features.WINDOW_VERSION}:progress:{p}" for p in range(4)])
        return {p: Progress.unpack(value).next_offset for p, value in enumerate(values) if value}

    def check_windows(self) -> None:
        """Assert that every card's window in Redis is that of a recount of all payments in their order."""
        expected: dict[str, Card] = {}
        for (partition, offset), payment in self.arrived().items():
            card = expected.setdefault(payment["card_id"], Card(partition))
            features.observe(card.window, payment, observed(payment, payment["_at_us"]))
            card.offset = offset
        with self.valkey.client() as client:
            for card_id, card in expected.items():
                stored = Card.unpack(client.get(key(card_id)) or b"")
                assert stored.window.events == card.window.events
                assert (stored.partition, stored.offset) == (card.partition, card.offset)

    def check_decisions(self, *, once: bool = False) -> Counter[str]:
        """Assert that every payment is decided, with the window it had where it had one; return counts."""
        due, decided, windows = self.due(), self.decided(), defaultdict[str, features.Window](features.Window)
        assert sorted(due - set(decided))[:5] == []
        assert sorted(set(decided) - due)[:5] == []
        counts: Counter[str] = Counter()
        first = features.NAMES.index("tx_count_5min")
        for place, payment in self.arrived().items():
            window = windows[payment["card_id"]]
            event = observed(payment, payment["_at_us"])
            profile = features.windowed(payment, window, event=event)
            features.observe(window, payment, event)
            for record in decided.get(place, []):
                counts["decisions"] += 1
                status = json.loads(record["groups"])["window"]["status"]
                counts[status] += 1
                if status == "fresh":
                    found = np.frombuffer(record["vector"], "<f4")[first : first + len(profile.values)]
                    assert np.array_equal(found, np.array(profile.values, "<f4"), equal_nan=True), place
            if once:
                assert len(decided.get(place, [])) <= 1
        return counts

    def said(self) -> str:
        """Return the end of what the stream scorers said."""
        return self.log.read_text()[-3_000:] if self.log.exists() else ""

    def end(self) -> None:
        """End everything."""
        for process in self.processes:
            process.kill()
        self.valkey.kill()
        names = [self.topic, self.decisions, self.alerts]
        # Kept by its name: a client that is gone never answers.
        admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
        for future in admin.delete_topics(names).values():
            future.exception(30)


def bad(record: Mapping[str, Any]) -> bytes:
    """Return a message that is no Avro of ours."""
    return struct.pack(">b", 5) + json.dumps(record["transaction_id"]).encode()
