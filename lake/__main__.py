"""Commands on the lake as a whole: `python -m lake --help`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

import commands
from errors import InputError
from lake.audit.cli import app as audit

app = typer.Typer(no_args_is_help=True, help="The lake's catalog, balance, past and upkeep; the search for numbers.")
app.add_typer(audit, name="audit")
console = Console()


@app.command()
def register() -> None:
    """Rebuild Trino's catalog (schemas, tables, views) from the Delta logs in the bucket; safe to repeat."""
    from lake import catalog

    new, old = catalog.register()
    for table in new:
        console.print(f"registered {table}")
    console.print(f"{len(new)} tables registered, {len(old)} stood already")


@app.command()
def land() -> None:
    """Land in Silver what is known elsewhere: dead letters (Kafka), training runs (MLflow); exit 1 if one is away."""
    from lake import landing

    added, troubles = landing.land()
    summary = ", ".join(f"{count} new in {table}" for table, count in added.items()) or "no table to land in yet"
    console.print(summary, soft_wrap=True)
    for trouble in troubles:
        console.print(f"[red]not landed:[/red] {trouble}", soft_wrap=True)
    if troubles:
        raise typer.Exit(1)


@app.command()
def balance(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Count every payment from Kafka to Gold; exit 1 when a row is missing or there is one too many."""
    from lake import balance as counting

    found = counting.count()
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        grid = Grid("what", "rows", title="From Kafka to Gold")
        grid.columns[1].justify = "right"
        for name, rows in found.lines():
            grid.add_row(name, f"{rows:,}")
        console.print(grid)
        for problem in found.problems:
            console.print(f"[red]does not balance:[/red] {problem}")
        if not found.problems:
            console.print("[green]balances[/green]")
    if found.problems:
        raise typer.Exit(1)


@app.command()
def upkeep(
    days: Annotated[int, typer.Option(help="Files that left a table longer ago are removed; at least 30.")] = 30,
) -> None:
    """Set retention on Silver and Gold, compact small files and remove old ones, by Trino."""
    from lake import upkeep as keeping

    for kept in keeping.keep(days):
        compacted = f"{kept.partitions_compacted} partitions compacted, {kept.files_before} now {kept.files_after}"
        what = compacted if kept.partitions_compacted else "nothing to compact"
        console.print(f"{kept.table}: {what}{'; retention set' if kept.retention_set else ''}; vacuumed")


@app.command()
def scan(
    known: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="CSV or Parquet file with real card numbers.")
    ] = None,
    column: Annotated[str, typer.Option(help="The column of --known that holds them.")] = "cc_num",
) -> None:
    """Look for card numbers in storage, Kafka, Redis and logs; exit 1 and the places when one is found."""
    from lake import scan as searching
    from settings import lakehouse_home

    numbers = frozenset(_numbers(known, column)) if known else frozenset()
    findings = searching.scan(searching.everywhere(lakehouse_home()), numbers)
    for place, texts in findings.read.items():
        console.print(f"{place}: {texts:,} texts read")
    for where in findings.found[: searching.REPORT]:
        console.print(f"[red]card number:[/red] {where}", soft_wrap=True)
    if findings.found:
        console.print(f"[red]{len(findings.found):,} card numbers found[/red]")
        raise typer.Exit(1)
    console.print("[green]no card number found[/green]")


def _numbers(path: Path, column: str) -> set[str]:
    import duckdb

    kind = "read_parquet" if path.suffix == ".parquet" else "read_csv"
    try:
        with duckdb.connect() as database:
            name = '"' + column.replace('"', '""') + '"'
            found = database.execute(f"select distinct cast({name} as varchar) from {kind}(?)", [str(path)])  # noqa: S608
            return {"".join(c for c in str(value) if c.isdigit()) for (value,) in found.fetchall() if value is not None}
    except duckdb.Error as error:
        raise InputError(f"{path}: column {column} cannot be read: {str(error).splitlines()[0]}") from error


if __name__ == "__main__":
    commands.run(app)
