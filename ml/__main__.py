"""Train, evaluate and promote the fraud model: `python -m ml --help`."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

import commands

app = typer.Typer(no_args_is_help=True, help="Train, evaluate and promote the fraud model.")

DAYS: dict[str, Any] = {"formats": ["%Y-%m-%d"], "metavar": "DAY", "show_default": "from what the lake has"}
TrainFrom = Annotated[datetime | None, typer.Option(help="First event day to train on.", **DAYS)]
TrainTo = Annotated[datetime | None, typer.Option(help="Last event day to train on.", **DAYS)]
TestFrom = Annotated[datetime | None, typer.Option(help="First event day to test on.", **DAYS)]
TestTo = Annotated[datetime | None, typer.Option(help="Last event day to test on.", **DAYS)]
DelayDays = Annotated[int | None, typer.Option(min=0, max=90, help="Days that labels take; default as dbt has it.")]
K = Annotated[int, typer.Option("--k", min=1, help="Cards a day that people look at, for card precision at k.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write all figures here.")]
Promote = Annotated[
    bool, typer.Option(help="Make it the champion if there is none, or if it is not worse on the test period.")
]
CARDS_A_DAY = 10


@app.command()
def train(
    train_from: TrainFrom = None,
    train_to: TrainTo = None,
    delay_days: DelayDays = None,
    test_from: TestFrom = None,
    test_to: TestTo = None,
    k: K = CARDS_A_DAY,
    promote: Promote = True,
    json_file: Json = None,
) -> None:
    """Train on the lake, print the honest table, register the model and perhaps make it champion.

    Without options the periods come from what the lake has: the last quarter tests, all labels having come.
    """
    from ml import commands

    commands.train(_periods(train_from, train_to, delay_days, test_from, test_to), k, json_file, promote=promote)


@app.command()
def evaluate(
    train_from: TrainFrom = None,
    train_to: TrainTo = None,
    delay_days: DelayDays = None,
    test_from: TestFrom = None,
    test_to: TestTo = None,
    k: K = CARDS_A_DAY,
    json_file: Json = None,
) -> None:
    """Train on one period, test on a later one, print the table; nothing is registered."""
    from ml import commands

    commands.evaluate(_periods(train_from, train_to, delay_days, test_from, test_to), k, json_file)


@app.command()
def promote(
    version: Annotated[int, typer.Argument(min=1, help="A version of fraud-scorer.")],
    challenger: Annotated[
        bool, typer.Option("--challenger", help="The stream scores with it too, and it decides nothing.")
    ] = False,
) -> None:
    """Make a registered version the champion, or the challenger beside it, once its files are verified."""
    from ml import registry
    from scoring.manifest import CHALLENGER, CHAMPION

    role = CHALLENGER if challenger else CHAMPION
    registry.promote(version, role)
    typer.echo(f"version {version} is the {role}; scorers take it up within seconds")


def _periods(
    train_from: datetime | None,
    train_to: datetime | None,
    delay_days: int | None,
    test_from: datetime | None,
    test_to: datetime | None,
) -> dict[str, Any]:
    days = {"train_from": train_from, "train_to": train_to, "test_from": test_from, "test_to": test_to}
    found: dict[str, date | None] = {name: moment.date() if moment else None for name, moment in days.items()}
    return found | {"delay_days": delay_days}


if __name__ == "__main__":
    commands.run(app)
