"""Fixtures that give tests the real stack: one of its own for the session, or the one of LAKEHOUSE_TEST_HOME."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from settings import PROJECT_DIR, settings

SERVERS = (
    os.environ.get("LAKEHOUSE_TEST_SERVERS") or "redis,answers,kafka,minio,registry,postgres,trino,mlflow"
).split(",")
"""A test that is run by itself may need fewer."""
UP_S = 420


def run_native(
    home: Path, *arguments: str, timeout: float = UP_S, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m infra.native` for one stack, as `make` does, with `variables` set besides."""
    environment = {**stackenv.without_stack(), "LAKEHOUSE_HOME": str(home), **variables}
    return subprocess.run(
        [sys.executable, "-m", "infra.native", *arguments],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 60, pause_s: float = 0.2) -> None:
    """Wait for a condition, never for a time; fails naming what did not come."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(pause_s)


@pytest.fixture(scope="session")
def stack() -> Iterator[Home]:
    """A running stack of real servers, without our own services; this process's settings are its addresses.

    Each process of pytest-xdist has one of its own.
    """
    given = os.environ.get("LAKEHOUSE_TEST_HOME")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    home = Home((Path(given) / worker if given else Path(tempfile.mkdtemp(prefix="lakehouse-test-"))).resolve())
    try:
        done = run_native(home.root, "up", "--only", ",".join(SERVERS), "--timeout", str(UP_S - 60))
        assert done.returncode == 0, f"the test stack did not start:\n{done.stdout}\n{done.stderr}"
        _enter(home)
        yield home
    finally:
        if not given:
            supervise.stop(home)
            shutil.rmtree(home.root, ignore_errors=True)


@pytest.fixture(scope="session")
def stack_env(stack: Home) -> dict[str, str]:
    """Addresses and secrets of the running stack."""
    return stackenv.required(stack)


@pytest.fixture
def start_service(stack: Home) -> Iterator[Callable[[str], None]]:
    """Start a service of our own (bronze, scorer, refresh) on the test stack; it is stopped after the test."""
    started: list[str] = []

    def start(name: str) -> None:
        started.append(name)
        supervise.start_service(stack, name)

    yield start
    for name in reversed(started):
        supervise.stop_service(stack, name)


def _enter(home: Home) -> None:
    for name in set(os.environ) - set(stackenv.without_stack()):
        del os.environ[name]
    os.environ["LAKEHOUSE_HOME"] = str(home.root)
    os.environ["JAVA_HOME"] = stackenv.required(home)["JAVA_HOME"]
    settings.cache_clear()
