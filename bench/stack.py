"""The running stack as the measurements see it: its API key, its commands, its online store's second database."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from errors import ServerError, SettingsError
from settings import PROJECT_DIR, lakehouse_home, settings


def api_key() -> str:
    """Return the stack's API key; it stands in the environment (`make env`) or in the stack's own file."""
    key = os.environ.get("API_KEY") or dotenv_values(lakehouse_home() / "stack.env").get("API_KEY")
    if not key:
        raise SettingsError(f"API_KEY is neither in the environment nor in {lakehouse_home()}/stack.env; run `make up`")
    return key


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run `python -m ARGUMENTS` to its end and return what it printed; ServerError with its own words if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=PROJECT_DIR, env=os.environ | (environment or {}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout)[-2000:]
        raise ServerError(f"`python -m {' '.join(arguments)}` ended with {done.returncode}: {said}")
    return done.stdout


def report(*arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """Run `python -m ARGUMENTS --json FILE` and return what it wrote there."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "report.json"
        run(*arguments, "--json", str(file), environment=environment)
        return json.loads(file.read_text())


def second_redis() -> str:
    """Return the URL of database 1 of the stack's online store, where measurements may write and flush."""
    return settings().redis_url.get_secret_value().rpartition("/")[0] + "/1"
