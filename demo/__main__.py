"""The tour, by one command: `python -m demo --help` (or `make demo`)."""

from pathlib import Path
from typing import Annotated

import typer

import commands

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    file: Annotated[
        Path | None, typer.Option("--input", exists=True, dir_okay=False, help="Your payments: CSV or Parquet.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="How its columns map; needed with --input.")
    ] = None,
    days: Annotated[int, typer.Option(min=55, help="Days of simulated history; training needs them.")] = 120,
    cards: Annotated[int, typer.Option(min=50, help="Simulated cards.")] = 1_500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cards and merchants.")] = 42,
    live_seconds: Annotated[int, typer.Option(min=5, help="Seconds of live traffic.")] = 30,
    live_tps: Annotated[int, typer.Option(min=1, help="Live payments a second.")] = 100,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the closing page's figures there.")] = None,
) -> None:
    """Run the whole line on the real servers, then print one page on which every count balances.

    Without --input it simulates payments; with it, your file goes the same way (and nothing simulated is mixed in).
    The stack stays up afterwards; `make down` stops it.
    """
    from demo.tour import Choice, tour

    if (file is None) != (mapping is None):
        raise typer.BadParameter("--input and --mapping go together; see ingestion/mappings for examples")
    choice = Choice(file, mapping, days, cards, seed, live_seconds, live_tps)
    if not tour(choice, json_file):
        raise typer.Exit(1)


if __name__ == "__main__":
    commands.run(app)
