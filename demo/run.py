"""Run the project's own commands as a user would, each as a step with its title, its output and its time."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from errors import LakehouseError
from settings import PROJECT_DIR

PIPED_WIDTH = 120
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


class StepError(LakehouseError):
    """A step's command failed."""


def step(title: str, *arguments: str) -> float:
    """Run `python -m ARGUMENTS` with its output shown; return its seconds; StepError with what to do if it fails."""
    console.rule(f"[bold]{title}[/]", align="left")
    console.print(f"[dim]$ python -m {' '.join(arguments)}[/]")
    started = time.monotonic()
    done = subprocess.run(command(*arguments), cwd=PROJECT_DIR, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        raise StepError(
            f"`python -m {' '.join(arguments)}` ended with {done.returncode}; its own words stand above. "
            "`make status` shows the services, `make logs S=name` what one said."
        )
    console.print(f"[green]done[/] in {seconds:.0f} s\n")
    return seconds


def answer(*arguments: str) -> Any:
    """Run `python -m ARGUMENTS` and return what it printed, read as JSON."""
    done = subprocess.run(command(*arguments), cwd=PROJECT_DIR, check=False, stdout=subprocess.PIPE, text=True)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise StepError(f"`python -m {' '.join(arguments)}` ended with {done.returncode} and no JSON") from error


def command(*arguments: str) -> Sequence[str]:
    """Return the command line of one of this project's modules, run by this very Python."""
    return (sys.executable, "-m", *arguments)
