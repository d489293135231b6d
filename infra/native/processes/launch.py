"""Become one server: wait for what it needs, take its CPU priority, then replace this process by it."""

import os
import signal
import sys
import time

from errors import LakehouseError
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.processes.services import SERVICES, Service
from infra.native.stackenv import required
from infra.native.state import notes
from infra.native.state.ready import why_not

RECENT_S = 120
"""Starts within this time count as a crash loop."""
LONGEST_PAUSE_S = 30


def launch(home: Home, name: str) -> None:
    """Run service `name` in this process; never returns. Raises LakehouseError when there is no such service."""
    service = SERVICES.get(name)
    if service is None:
        raise LakehouseError(f"no service {name!r}; there are {', '.join(SERVICES)}")
    # While this process only waits, a stop must end it at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    env = required(home)
    _end_leftovers(home, name)
    _back_off(home, name)
    _wait(home, service)
    notes.write(home, f"wait-{name}", waits_for="")
    if service.prepare is not None:
        service.prepare(home, env)
    command = service.command(home, env)
    command.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(command.folder)
    environment = {**os.environ, **command.environment}
    os.nice(service.priority)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(command.arguments[0], command.arguments, environment)  # noqa: S606 - to replace this process is the point


def _end_leftovers(home: Home, name: str) -> None:
    # After kill -9 of a server its own children (MLflow's worker, Spark's JVM) may live on and hold its port.
    for process in supervise.processes(home, name):
        if process.pid != os.getpid():
            print(f"{name}: ending process {process.pid}, left by an earlier start", flush=True)
            process.kill()
            process.wait(10)


def _wait(home: Home, service: Service) -> None:
    started = time.monotonic()
    for condition in service.waits_for:
        pause = 0.2
        while (reason := why_not(condition, required(home))) is not None:
            notes.write(home, f"wait-{service.name}", waits_for=condition, since=time.time(), reason=reason)
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)
    waited = time.monotonic() - started
    if service.waits_for and waited > 1:
        print(f"{service.name}: waited {waited:.1f} s for {', '.join(service.waits_for)}", flush=True)


def _back_off(home: Home, name: str) -> None:
    now = time.time()
    note = notes.read(home, f"starts-{name}")
    before = [start for start in note.get("recent", []) if now - start < RECENT_S]
    notes.write(home, f"starts-{name}", count=note.get("count", 0) + 1, recent=[*before[-10:], now])
    # The first restart comes at once; only a loop is slowed.
    pause = min(2.0 ** (len(before) - 2), LONGEST_PAUSE_S) if len(before) >= 2 else 0.0
    if pause:
        text = f"{pause:.0f} s of back-off after {len(before)} starts in {RECENT_S} s"
        notes.write(home, f"wait-{name}", waits_for=text, since=now, reason="")
        print(f"{name}: {text}", flush=True)
        time.sleep(pause)
