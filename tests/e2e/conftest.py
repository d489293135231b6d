"""The whole line, filled by the tour itself, on the session's stack."""

import json
import subprocess
import sys
from typing import Any

import pytest

from infra.native.paths import Home
from infra.native.processes import supervise
from settings import PROJECT_DIR

TOUR = ("--days", "60", "--cards", "300", "--live-seconds", "15", "--live-tps", "60")
TOUR_S = 1_200


def python(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run `python -m ARGUMENTS` against the session's stack, whose home is in this process's environment."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def balance() -> dict[str, Any]:
    """Return what `python -m lake balance --json` counts, whether it balances or not."""
    found: dict[str, Any] = json.loads(python("lake", "balance", "--json").stdout)
    return found


@pytest.fixture(scope="session")
def line(stack: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of the closing page of a small tour; every service of the stack runs afterwards, refresh excepted."""
    page = tmp_path_factory.mktemp("tour") / "page.json"
    done = python("demo", *TOUR, "--json", str(page), timeout=TOUR_S)
    assert done.returncode == 0, f"the tour failed:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    # Tests refresh when they need it; every five minutes by itself would only come in between.
    supervise.stop_service(stack, "refresh")
    return json.loads(page.read_text()) | {"printed": done.stdout}
