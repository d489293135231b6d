"""Keeps the policy in force: the newest good version of the rules, and the lists, from this process's copy and Kafka.

One thread follows the topic `policy` into the copy on disk; the copy is read at start, so that Kafka may be away. A
version that cannot be used is refused whole and the last good one stays, also through a restart.
"""

import dataclasses
import logging
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from errors import InputError, LakehouseError
from scoring.rules import Lists, RuleSet
from serving import metrics
from serving.policy import topic as policy
from serving.policy.records import Change, entries
from serving.policy.replica import COMPLETE, GOOD, Replica
from settings import lakehouse_home

log = logging.getLogger("policy")
WAIT_S = 0.5
AGAIN_S = 1.0


def archive() -> Path:
    """Return the folder that keeps every version that was ever in force here, under its SHA-256."""
    return lakehouse_home() / "rules"


class InForce:
    """The policy in use. One thread changes it; a request reads `ruleset` once and keeps what it read."""

    def __init__(self, name: str, topic: str | None = None) -> None:
        """Keep the copy under `name`, which processes of different hosts or containers do not share."""
        self.ruleset: RuleSet | None = None
        self.refused: str | None = None
        """Why the newest version is not in force."""
        self.missing: str | None = "the policy was never read from Kafka here"
        """Why there are no rules though there should be, or may be."""
        self.trouble: str | None = None
        """Why Kafka cannot be followed now."""
        self.lists = Lists()
        self._name, self._topic = name, topic or policy.name()
        self._judged: Change | None = None
        self._read = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy", daemon=True)

    @property
    def version(self) -> str | None:
        """Version of the rules in use."""
        return self.ruleset.version if self.ruleset else None

    def describe(self) -> dict[str, Any]:
        """Return what is in force and what is wrong, for people and programs."""
        return {
            "version": self.version,
            "refused": self.refused,
            "missing": self.missing,
            "trouble": self.trouble,
            "entries": len(self.lists),
        }

    def start(self, patience_s: float = 0.0) -> None:
        """Take what the copy has and begin to follow; without one wait up to `patience_s` for Kafka's."""
        try:
            self._replica = Replica(lakehouse_home() / "policy" / f"{self._topic}.{self._name}.db")
        except InputError as error:  # a full or read-only disk costs only the copy
            log.error("%s; the policy is read from Kafka at each start", error)  # noqa: TRY400 - its text says it all
            self._replica = Replica(Path(":memory:"))
        self.lists.put(self._replica.entries(time.time_ns() // 1_000))
        if self._replica.fact(COMPLETE):
            self.look()
        self._thread.start()
        if self.missing:
            self._read.wait(patience_s)

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def look(self) -> None:
        """Put the newest version of the copy in force; if it cannot be used, the last good one."""
        newest = self._replica.in_force()
        if newest is None:
            if len(self.lists):
                self._take(NO_RULES)
            self.missing = None
            return
        if newest == self._judged:
            return
        self._judged = newest
        try:
            self._take(self._replica.rules(newest.version))
        except InputError as error:
            self._refuse(newest, str(error))
            return
        self._replica.remember(GOOD, newest.version)
        self.refused = None
        metrics.RULES_BAD.set(0)
        log.info(
            "version %s is in force, put by %s; %d entries of lists", newest.version, newest.author, len(self.lists)
        )

    def _refuse(self, newest: Change, why: str) -> None:
        self.refused = f"version {newest.version} by {newest.author}: {why}"
        metrics.RULES_REFUSED.inc()
        metrics.RULES_BAD.set(1)
        if self.version in {None, NO_RULES.version}:
            try:
                self._take(self._replica.rules(self._replica.fact(GOOD) or ""))
            except InputError:
                self._take(NO_RULES)  # the lists count all the same
                self.missing = f"none of the rules is in force; refused: {self.refused}"
        log.error("refused, version %s stays in force: %s", self.version, self.refused)

    def _take(self, fresh: RuleSet) -> None:
        keep(fresh)
        self.ruleset = dataclasses.replace(fresh, listed=self.lists.find)  # one reference: no request sees half of it
        self.missing = None
        metrics.show_rules(fresh.version)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (LakehouseError, KafkaException, sqlite3.Error) as error:
                self._note(str(error))
            except Exception as error:  # the follower must outlive what it reads; the next round tries again
                log.exception("following the policy failed")
                self._note(repr(error))
            self._stop.wait(AGAIN_S)
        self._replica.close()

    def _follow(self) -> None:
        with policy.reading(self._replica, self._topic) as consumer:
            while not self._stop.is_set():
                records, after, at_end = policy.take(consumer, WAIT_S)
                if after:
                    self.lists.put((*place, body.text()) for place, body in entries(records))
                    self._replica.apply(records, after)
                if at_end and not self._replica.fact(COMPLETE):
                    self._replica.remember(COMPLETE, "yes")
                if (after or at_end) and self._replica.fact(COMPLETE):
                    self.look()
                    self.trouble = None
                    self._read.set()

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("the policy cannot be followed, what is known stays in force: %s", trouble)
        self.trouble = trouble


NO_RULES = RuleSet.read("rules: []")


def keep(ruleset: RuleSet) -> None:
    """Put a version into the archive; a full disk costs only that decisions under it cannot be made again here."""
    path = archive() / f"{ruleset.version}.json"
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_bytes(ruleset.canonical)
        fresh.replace(path)
    except OSError as error:
        log.warning("version %s is not archived, so its decisions cannot be made again: %s", path.stem, error)


def archived(version: str) -> RuleSet:
    """Return an archived version, verified by its SHA-256; InputError if it is not there or is another."""
    path = archive() / f"{version}.json"
    try:
        found = RuleSet.restore(path.read_bytes())
    except OSError as error:
        raise InputError(f"rules of version {version} are not archived in {path.parent}: {error}") from error
    if found.version != version:
        raise InputError(f"{path} is of version {found.version}: it was changed")
    return found
