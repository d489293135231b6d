"""Refresh Silver, Gold and the online store: dbt run, then the feature writer; one at a time, and its outcome noted."""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from errors import LakehouseError
from infra.native.paths import Home
from infra.native.stackenv import FOR_USERS, required, without_stack
from infra.native.state import notes
from infra.native.state.asking import query
from settings import PROJECT_DIR

DBT = PROJECT_DIR / "dbt_project"
BRONZE = {"transactions", "labels", "decisions"}
COMMIT = "DBT_ENV_CUSTOM_ENV_GIT_COMMIT"
"""dbt keeps what such variables say with the run; ours stands in ops.dbt_runs."""
UPKEEP_EVERY_S = 86_400
LANDING = "lake land"
"""The step whose failure leaves the refresh good: it asks servers that the tables and features do not need."""
EMPTY_PAUSE_S = 5
"""Pause while Bronze has no tables yet."""
BESIDE_ANOTHER = "another dbt run writes these tables"
"""What dbt says when another run is at work (dbt_project/macros/one_run.sql)."""
PATIENCE_S = 120.0
BUSY_PAUSE_S = 5.0


class RefreshError(LakehouseError):
    """A step of the refresh failed; the next one tries again."""


def forever(home: Home, every_s: float) -> None:
    """Refresh every `every_s` seconds, start to start; a failure is noted and told, and the next run tries again."""
    while True:
        started = time.monotonic()
        pause = every_s
        try:
            if not once(home):
                pause = EMPTY_PAUSE_S
        except RefreshError as error:
            print(f"refresh failed: {error}", flush=True)
        time.sleep(max(1.0, pause - (time.monotonic() - started)))


def once(home: Home) -> bool:
    """Run one refresh, after a running one has ended; returns False when Bronze has no tables yet.

    Raises RefreshError with the failing step and the end of its output.
    """
    with one_at_a_time(home):
        if not _bronze_is_registered(home):
            notes.write(home, "last-refresh", ok=None, at=time.time(), seconds=0, text="nothing in Bronze yet")
            return False
        started = time.time()
        steps: dict[str, float] = {}
        try:
            for name, command in _steps(home):
                before = time.monotonic()
                try:
                    _run(home, name, command)
                except RefreshError as error:
                    if name != LANDING:
                        raise
                    print(error, flush=True)
                steps[name] = round(time.monotonic() - before, 1)
        except RefreshError as error:
            _note(home, started, steps, ok=False, text=str(error).splitlines()[0])
            raise
        _note(home, started, steps, ok=True, text=", ".join(f"{name} {seconds} s" for name, seconds in steps.items()))
    return True


def _steps(home: Home) -> Iterator[tuple[str, list[str]]]:
    seeds = _digest(DBT / "seeds")
    marker = home.data("refresh") / "seeds.sha256"
    if not marker.is_file() or marker.read_text() != seeds:
        yield "dbt seed", _dbt(home, "seed")
        marker.write_text(seeds)
    yield "dbt run", _dbt(home, "run")
    yield "feature-writer", [sys.executable, "-m", "serving", "feature-writer"]
    # Once a day: what the lake said of each card's and acceptor's risk is kept for those who ask later.
    snapshot, today = home.data("refresh") / "snapshot.day", time.strftime("%Y-%m-%d", time.gmtime())
    if not snapshot.is_file() or snapshot.read_text() != today:
        yield "dbt snapshot", _dbt(home, "snapshot")
        snapshot.write_text(today)
    kept = home.data("refresh") / "upkeep"
    if not kept.is_file() or time.time() - kept.stat().st_mtime > UPKEEP_EVERY_S:
        yield "lake upkeep", [sys.executable, "-m", "lake", "upkeep"]
        kept.touch()
    yield LANDING, [sys.executable, "-m", "lake", "land"]


def _dbt(home: Home, verb: str) -> list[str]:
    # Its own target folder: an analyst's dbt in the checkout must not trip over ours.
    return [
        str(Path(sys.executable).with_name("dbt")),
        "--no-use-colors",
        verb,
        "--project-dir",
        str(DBT),
        "--target-path",
        str(home.data("refresh") / "target"),
        "--log-path",
        str(home.logs / "dbt"),
    ]


def _run(home: Home, name: str, command: list[str]) -> None:
    env = required(home)
    environment = {**without_stack(), **{name: env[name] for name in FOR_USERS if name in env}, COMMIT: _commit()}
    patience = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            command,
            cwd=PROJECT_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout, end="", flush=True)
        # Beside an analyst's run, or what is left of a killed one, dbt has written nothing: it waits its turn.
        if done.returncode == 0 or BESIDE_ANOTHER not in done.stdout or time.monotonic() > patience:
            break
        time.sleep(BUSY_PAUSE_S)
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise RefreshError(f"{name} ended with {done.returncode}; see {home.logs / 'refresh.log'}\n{tail}")


def _bronze_is_registered(home: Home) -> bool:
    env = required(home)
    try:
        if _registered(env):
            return True
        _run(home, "lake register", [sys.executable, "-m", "lake", "register"])
        return _registered(env)
    # Trino away, storage away: both are told by the client library in its own words.
    except Exception as error:
        text = f"Bronze could not be looked up: {str(error).strip().splitlines()[0]}"
        _note(home, time.time(), {}, ok=False, text=text)
        raise RefreshError(text) from error


def _registered(env: dict[str, str]) -> bool:
    return {str(row[0]) for row in query(env, "SHOW TABLES FROM delta.bronze")} >= BRONZE


def _note(home: Home, started: float, steps: dict[str, float], *, ok: bool, text: str) -> None:
    fields: dict[str, Any] = {"ok": ok, "at": started, "seconds": round(time.time() - started, 1), "text": text}
    notes.write(home, "last-refresh", steps=steps, **fields)


def _commit() -> str:
    """Return the commit of this checkout, marked when files differ from it; empty outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def one_at_a_time(home: Home) -> Iterator[None]:
    """Wait until no refresh of this stack runs, and let none begin while the body does."""
    path = home.root / "run" / "refresh.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
