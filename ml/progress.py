"""How long work is shown while it goes on, on a terminal or in a log."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress on the error output."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        yield bar


def advance(bar: Progress, tasks: dict[str, TaskID], what: str, done: int) -> None:
    """Say that `done` more of `what` are done; `tasks` keeps the bar's line of each."""
    if what not in tasks:
        tasks[what] = bar.add_task(what, total=None)
    bar.update(tasks[what], advance=done)
