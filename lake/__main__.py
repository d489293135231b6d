"""Commands on the lake as a whole: `python -m lake --help`."""

import typer
from rich.console import Console
from rich.table import Table as Grid

from errors import LakehouseError

app = typer.Typer(no_args_is_help=True, help="The lake's catalog and the balance of its counts.")
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
def balance() -> None:
    """Count every payment from Kafka to Gold; exit 1 when a row is missing or there is one too many."""
    from lake import balance as counting

    found = counting.count()
    grid = Grid("what", "rows", title="From Kafka to Gold")
    grid.columns[1].justify = "right"
    for name, rows in found.lines():
        grid.add_row(name, f"{rows:,}")
    console.print(grid)
    for fault in found.faults():
        console.print(f"[red]does not balance:[/red] {fault}")
    if found.faults():
        raise typer.Exit(1)
    console.print("[green]balances[/green]")


if __name__ == "__main__":
    try:
        app()
    except LakehouseError as error:
        typer.secho(str(error), fg="red", err=True)
        raise SystemExit(1) from error
