"""The lease on Bronze: one driver at a time, by conditional writes of one small object in the bucket."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from clients import s3
from errors import LeaseHeldError, ServerError

TTL_S = 30.0
RENEW_S = 5.0
MARGIN_S = 10.0
"""No append begins in the last seconds of a lease: it must end before anybody else may begin."""
ORPHAN_S = 15.0
"""How long a dead driver's JVM may take to end by itself."""
log = logging.getLogger("bronze")


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: a process, known by its machine, number and start (UTC seconds), and its JVM."""

    host: str
    pid: int
    started: float
    expires_at: float
    jvm_pid: int | None = None
    jvm_started: float | None = None

    def __str__(self) -> str:
        began = datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds")
        return f"process {self.pid} on {self.host}, started {began}"


def this_process(now: float) -> Holder:
    """Return the holder that this process would be."""
    return Holder(_host(), os.getpid(), psutil.Process().create_time(), now + TTL_S)


def is_alive(holder: Holder) -> bool | None:
    """Say whether the holder's process runs; None when it is on another machine, where this one cannot look."""
    if holder.host != _host():
        return None
    return _runs(holder.pid, holder.started)


class Lease:
    """A held lease. `check` before every append; `lost` is set when somebody else has it."""

    def __init__(self, key: str, holder: Holder, etag: str) -> None:
        self.key = key
        self.holder = holder
        self.lost = threading.Event()
        self._etag = etag
        self._good_until = time.monotonic() + TTL_S
        self._lock = threading.Lock()

    def name_jvm(self, pid: int) -> None:
        """Write the JVM into the lease, so that a successor can wait for its end."""
        self.holder = replace(self.holder, jvm_pid=pid, jvm_started=psutil.Process(pid).create_time())
        self.renew()

    def check(self) -> None:
        """Return if an append may begin now; raises LeaseHeldError when the lease is lost."""
        if time.monotonic() > self._good_until - MARGIN_S:
            self.renew()
        if self.lost.is_set():
            raise LeaseHeldError(f"{self.key} was taken over; this driver must not write any more and stops")

    def renew(self) -> None:
        """Prolong the lease. Raises ServerError when the store does not answer; sets `lost` when another has it."""
        with self._lock:
            if self.lost.is_set():
                return
            asked = time.monotonic()
            self.holder = replace(self.holder, expires_at=time.time() + TTL_S)
            etag = s3.replace(self.key, _dump(self.holder), self._etag, "spark")
            if etag is None:
                # The answer to an earlier write of ours may have been lost on its way.
                found = s3.read(self.key, "spark")
                if found is None or not _same(_load(found.body), self.holder):
                    self.lost.set()
                    return
                etag = found.etag
            self._etag = etag
            self._good_until = asked + TTL_S

    def release(self) -> None:
        """Give the lease up; without a word if it cannot be, for then it expires."""
        with self._lock:
            if not self.lost.is_set():
                s3.replace(self.key, _dump(replace(self.holder, expires_at=0.0)), self._etag, "spark")


def acquire(key: str) -> Lease:
    """Take the lease, or raise LeaseHeldError naming who has it.

    A lease that has expired, was given up, or whose process on this machine is dead is taken over at once.
    """
    mine = this_process(time.time())
    found = s3.read(key, "spark")
    if found is None:
        etag = s3.create(key, _dump(mine), "spark")
    else:
        other = _load(found.body)
        left = other.expires_at - time.time()
        if left > 0 and is_alive(other) is not False:
            raise LeaseHeldError(
                f"Bronze is written by {other}; two drivers would lose each other's commits. Stop that one first "
                f"(`make down`, or end that process); if its machine is gone, this lease runs out in {left:.0f} s."
            )
        _await_jvm(other)
        etag = s3.replace(key, _dump(mine), found.etag, "spark")
    if etag is None:
        raise LeaseHeldError(f"another driver took {key} just now; look with `make status`")
    return Lease(key, mine, etag)


@contextmanager
def held(key: str) -> Iterator[Lease]:
    """Hold the lease for as long as the block runs, renewing it from a thread of its own."""
    lease = acquire(key)
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEW_S) and not lease.lost.is_set():
            try:
                lease.renew()
            except ServerError as error:
                # Nobody else can take it while the store is away; `check` refuses appends in the meantime.
                log.warning("the lease could not be renewed: %s", error)

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join(RENEW_S)
        try:
            lease.release()
        except ServerError as error:
            log.warning("the lease could not be given up, it expires: %s", error)


def _await_jvm(dead: Holder) -> None:
    if dead.host != _host() or dead.jvm_pid is None or dead.jvm_started is None:
        return
    patience = time.monotonic() + ORPHAN_S
    while _runs(dead.jvm_pid, dead.jvm_started):
        if time.monotonic() > patience:
            log.warning("ending JVM %s, which outlived its driver (%s)", dead.jvm_pid, dead)
            psutil.Process(dead.jvm_pid).kill()
            patience += ORPHAN_S
        time.sleep(0.1)


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _host() -> str:
    # Containers may share a host name; process numbers mean something only within one namespace.
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.stat().st_ino}" if namespace.exists() else socket.gethostname()


def _same(one: Holder, other: Holder) -> bool:
    return (one.host, one.pid, one.started) == (other.host, other.pid, other.started)


def _dump(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _load(body: bytes) -> Holder:
    return Holder(**json.loads(body))
