"""Train, evaluate and promote the fraud model: `python -m ml --help`."""

import os
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

import commands

NICENESS = 10
"""The latency path has the machine first."""
app = typer.Typer(no_args_is_help=True, help="Train, evaluate and promote the fraud model; compare what was served.")

DAYS: dict[str, Any] = {"formats": ["%Y-%m-%d"], "metavar": "DAY", "show_default": "from what the lake has"}
TrainFrom = Annotated[datetime | None, typer.Option(help="First event day to train on.", **DAYS)]
TrainTo = Annotated[datetime | None, typer.Option(help="Last event day to train on.", **DAYS)]
TestFrom = Annotated[datetime | None, typer.Option(help="First event day to test on.", **DAYS)]
TestTo = Annotated[datetime | None, typer.Option(help="Last event day to test on.", **DAYS)]
DelayDays = Annotated[int | None, typer.Option(min=0, max=90, help="Days that labels take; default as dbt has it.")]
PERIOD: dict[str, Any] = DAYS | {"show_default": "all there is"}
From = Annotated[datetime | None, typer.Option("--from", help="First event day.", **PERIOD)]
To = Annotated[datetime | None, typer.Option("--to", help="Last event day.", **PERIOD)]
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
    from ml.registry import versions
    from scoring.manifest import CHALLENGER, CHAMPION

    role = CHALLENGER if challenger else CHAMPION
    versions.promote(version, role)
    typer.echo(f"version {version} is the {role}; scorers take it up within seconds")


@app.command()
def parity(
    first: From = None,
    last: To = None,
    json_file: Json = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a metric a feature here, as Prometheus reads it.")
    ] = None,
) -> None:
    """Compare each logged feature with the lake's own; exit 1 if one differs and no recorded fact says why.

    Profiles come from Gold by the payment's time, windows from a replay of Bronze in the order of arrival.
    """
    from ml import commands

    if not commands.parity(_day(first), _day(last), json_file, metrics):
        raise typer.Exit(1)


@app.command()
def backtest(
    first: Annotated[datetime, typer.Option("--from", help="First event day.", formats=DAYS["formats"], metavar="DAY")],
    last: Annotated[datetime, typer.Option("--to", help="Last event day.", formats=DAYS["formats"], metavar="DAY")],
    rules: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file of rules to try.")] = None,
    model: Annotated[int | None, typer.Option(min=1, help="A version of fraud-scorer to try.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Scores to review from here on; default is the model's own.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Say what rules, a model or a threshold would have done to past payments, beside what was done."""
    from ml import commands

    commands.backtest((first.date(), last.date()), rules, model, threshold, json_file)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _periods(
    train_from: datetime | None,
    train_to: datetime | None,
    delay_days: int | None,
    test_from: datetime | None,
    test_to: datetime | None,
) -> dict[str, Any]:
    days = {"train_from": train_from, "train_to": train_to, "test_from": test_from, "test_to": test_to}
    found: dict[str, date | None] = {name: _day(moment) for name, moment in days.items()}
    return found | {"delay_days": delay_days}


if __name__ == "__main__":
    os.nice(NICENESS)
    commands.run(app)
