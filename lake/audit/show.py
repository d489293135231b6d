"""How an audit is printed: for people as tables and records, for machines as JSON."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from lake.audit.changes import Change
from lake.audit.known import Comparison
from lake.audit.log import Run, Version
from lake.audit.rows import Row
from lake.audit.times import shown

console = Console()
NOTES = frozenset({"row_hash", "profile_version", "updated_at"})
"""They change with every rewriting, and say nothing of what changed."""


def as_json(found: Any) -> None:
    """Print one JSON value, times in ISO 8601."""
    typer.echo(json.dumps(found, default=_plain))


def records(rows: Iterable[Row]) -> None:
    """Print each row as a record, a column a line; nulls are left out."""
    for row in rows:
        grid = Grid(show_header=False)
        grid.add_column()
        grid.add_column(overflow="fold")
        for name, value in row.items():
            if value is not None:
                grid.add_row(name, text(value))
        console.print(grid)


def history(versions: Sequence[Version], runs: dict[str, Run]) -> None:
    """Print versions with what is known of who wrote each."""
    grid = _grid("version", "committed", "operation", "by", "rows", "query")
    for version in versions:
        run = runs.get(version.query_id or "")
        rows = run.rows if run else version.rows
        grid.add_row(
            str(version.number),
            shown(version.at),
            version.operation,
            writer(version, run),
            "" if rows is None else f"{rows:,}",
            version.query_id or "",
        )
    console.print(grid)


def writer(version: Version, run: Run | None) -> str:
    """Return who wrote a version, in words."""
    if version.batch is not None:
        return f"the stream, batch {version.batch}"
    if run:
        commit = f", commit {run.git_commit[:12]}" if run.git_commit else ""
        return f"{version.user}, dbt run {run.invocation_id} ({run.model}{commit})"
    return version.user or "an engine that gives no user"


def changed(changes: Sequence[Change], key: Sequence[str]) -> None:
    """Print changes row by row: what a new or a lost row said, and of an update old and new values."""
    grid = _grid("version", "committed", "change", "row", "what", show_lines=True)
    for change in changes:
        row = change.after or change.before or {}
        if change.kind == "update":
            what = [
                f"{name}: {text(old)} → {text(new)}"
                for name, (old, new) in change.differences().items()
                if name not in NOTES
            ]
        else:
            what = [f"{name}: {text(value)}" for name, value in row.items() if name not in key and value is not None]
        named = "\n".join(f"{name}: {text(row.get(name))}" for name in key)
        grid.add_row(
            "" if change.version is None else str(change.version), shown(change.at), change.kind, named, "\n".join(what)
        )
    console.print(grid)


def compared(found: Comparison) -> None:
    """Print one table's comparison: the counts, then each difference with its cause."""
    console.print(
        f"[bold]{found.table}[/bold]: known {found.known:,}, stored in {found.version} {found.stored:,}; "
        f"the same {found.agree:,}, different {len(found.differences):,}",
        highlight=False,
    )
    if not found.differences:
        return
    grid = _grid("row", "known", "stored", "cause", "because", show_lines=True)
    for each in found.differences:
        named = "\n".join(f"{name}: {text(value)}" for name, value in each.key.items())
        values = [
            f"{name}: {text(old)} then, {text(new)} now"
            for name, (old, new) in each.values.items()
            if name not in NOTES
        ]
        grid.add_row(named, _yes(each.known), _yes(each.stored), str(each.cause), "\n".join([each.why, *values]))
    console.print(grid)


def text(value: Any) -> str:
    """Return a value for people."""
    return shown(value) if isinstance(value, datetime) else "null" if value is None else str(value)


def _grid(*names: str, show_lines: bool = False) -> Grid:
    grid = Grid(show_lines=show_lines)
    for name in names:
        # A hash or a query's number that is cut is of no use.
        grid.add_column(name, overflow="fold")
    return grid


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else str(value)
