"""Commands that measure the running stack: `python -m bench --help`."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import commands
from errors import LakehouseError
from settings import PROJECT_DIR

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Measure the running stack. Without a command: everything, each figure beside its target (well over an hour).",
)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures there, for programs.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer and shorter runs: a look, not a measurement.")]
PAIR = PROJECT_DIR / ".lakehouse-pair"
PARTS = (
    "ingest",
    "bronze",
    "freshness",
    "features",
    "windows",
    "lists",
    "model",
    "backtest",
    "dbt",
    "predict",
    "stream",
    "dashboards",
)


@app.callback(invoke_without_command=True)
def everything(context: typer.Context, json_file: Json = None, quick: Quick = False) -> None:
    """Measure the running stack. Without a command: everything, each figure beside its target (well over an hour)."""
    if context.invoked_subcommand is None:
        _measure(PARTS, json_file, quick)


def _part(name: str, about: str) -> Callable[..., None]:
    def measure(json_file: Json = None, quick: Quick = False) -> None:
        _measure((name,), json_file, quick)

    measure.__doc__ = about
    return app.command(name)(measure)


_part("ingest", "From a file to acknowledged Kafka in one process, beside a naive producer.")
_part("bronze", "How fast the running driver catches up with a burst.")
_part("freshness", "Kafka timestamp to the first Trino query that sees the payment, at 500 payments/s.")
_part("features", "From Gold to Redis, beside HSET one after another and pipelined.")
_part("windows", "A card's window: features and observe a second, and its bytes.")
_part("lists", "A million entries of lists: put, loaded, looked up, beside a YAML file.")
_part("model", "One call of the model, one row, beside LightGBM's own.")
_part("backtest", "A rule over a million logged decisions, and parity over 50,000.")
_part("dbt", "dbt run after 5,000 payments on lakes of 0.2, 1 and 5 million, and a full rebuild (half an hour).")
_part("predict", "/predict at 300/s, idle and beside 500 payments/s, and saturated beside MLflow's server.")
_part("dashboards", "From the click to the drawn dashboard in a browser, and each chart's query by itself.")
_part("stream", "From payment to decision at 500/s, at work and idle (bronze is stopped for it), and saturated.")


@app.command("load")
def load(
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second, whatever the server does.")] = 300,
    seconds: Annotated[float, typer.Option(min=0.1)] = 20,
    connections: Annotated[int, typer.Option(min=0, help="Instead of a rate: so many, each as fast as it goes.")] = 0,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds after which a request counts as a timeout.")] = 10,
    json_file: Json = None,
) -> None:
    """Put a load on /predict and count every request: real cards and acceptors, fresh ids, some unusual payments."""
    from bench.deciding import predict

    answers = predict.run(rate, seconds, connections, timeout, json_file)
    found = answers.summary()
    console.print(f"{found['requests']:,} requests in {found['seconds']:.1f} s: {found['by_outcome']}")
    console.print(f"{found['answers_per_s']:,.0f} answers/s, latency in ms {found['latency_ms']}")
    if answers.failed:
        raise typer.Exit(1)


@app.command("produce")
def produce(
    rate: Annotated[float, typer.Option(min=1, help="Payments a second.")] = 500,
    seconds: Annotated[float, typer.Option(min=0.1)] = 60,
) -> None:
    """Send valid payments of the bench's own cards to Kafka at a constant rate; print `ready`, then what was sent."""
    from bench.load import payments, traffic

    messages = traffic.encode(payments.to_send(payments.sample(), round(rate * seconds), seed=1))
    print("ready", flush=True)
    print(json.dumps(asdict(traffic.paced(messages, rate))))


@app.command("pair")
def pair(
    against: Annotated[str, typer.Option(help="The commit to compare with.")],
    part: Annotated[list[str], typer.Option(help="Of the bench; may be given several times.")] = ["predict", "stream"],  # noqa: B006 - Typer's form of a default
    rounds: Annotated[int, typer.Option(min=1, help="Each part is measured so often on either side, in turn.")] = 3,
    quick: Quick = False,
    folder: Annotated[Path, typer.Option(help="Keeps the other checkout and both stacks.")] = PAIR,
    cards: Annotated[int, typer.Option(min=50, help="Of the tour that fills each stack once.")] = 1_500,
    days: Annotated[int, typer.Option(min=55, help="Of that tour.")] = 120,
    json_file: Json = None,
) -> None:
    """Measure another commit and this checkout in turn, on a stack of each one's own; no other stack should be up."""
    from bench import machine, pair

    if unknown := set(part) - set(PARTS):
        raise typer.BadParameter(f"no part of the bench: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    described = machine.describe()
    console.print(machine.table(described))
    old, new = pair.sides(against, folder.resolve())
    found = pair.measure(old, new, part, rounds, quick=quick, cards=cards, days=days)
    console.print(pair.table(found, old.name))
    if json_file:
        json_file.write_text(json.dumps({"machine": described, "figures": pair.as_dict(found)}, indent=2))


@app.command("desk")
def desk(
    rows: Annotated[int, typer.Option(min=10_000, help="Decisions of 30 days.")] = 10_000_000, quick: Quick = False
) -> None:
    """The console's queue over millions of decisions, old against new, in a database that is dropped (minutes)."""
    from bench.deciding import desk as queue

    for section in queue.measure(rows, quick=quick):
        console.print(section.table())


def _measure(parts: tuple[str, ...], json_file: Path | None, quick: bool) -> None:
    from bench import machine, suite
    from infra.native.paths import current_home
    from infra.native.refresh import one_at_a_time

    described = machine.describe()
    console.print(machine.table(described))
    sections, troubles = [], {}
    console.print("No refresh (dbt, features) begins while this measures; the rest of the stack is up.")
    with one_at_a_time(current_home()):
        for part in parts:
            try:
                for section in suite.measure(part, quick=quick):
                    sections.append(section)
                    console.print(section.table())
            except LakehouseError as error:  # the other parts can still be measured
                troubles[part] = str(error)
                console.print(f"[red]{part}: not measured: {error}[/]")
    if json_file:
        report = {
            "machine": described,
            "quick": quick,
            "not_measured": troubles,
            "sections": [
                {"title": section.title, "figures": [figure.as_dict() for figure in section.figures]}
                for section in sections
            ],
        }
        json_file.write_text(json.dumps(report, indent=2))
    missed = [figure.name for section in sections for figure in section.figures if figure.verdict == "missed"]
    console.print(f"{len(missed)} of the figures with a target missed it{': ' if missed else '.'}{', '.join(missed)}")
    if troubles:
        raise typer.Exit(1)


if __name__ == "__main__":
    commands.run(app)
