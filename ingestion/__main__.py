"""Commands that bring payments and labels to Kafka: `python -m ingestion --help`."""

from pathlib import Path
from typing import Annotated

import typer

import commands
from errors import InputError

app = typer.Typer(no_args_is_help=True, help="Bring payments and labels to Kafka, and look after dead letters.")
dlq = typer.Typer(no_args_is_help=True, help="Look at dead letters, and send them again once their cause is mended.")
app.add_typer(dlq, name="dlq")
Json = Annotated[Path | None, typer.Option("--json", help="Write the summary there, for programs.")]


@app.callback()
def _commands() -> None:
    """Bring payments and labels to Kafka, and look after dead letters."""


@app.command("simulate")
def simulate(
    days: Annotated[int | None, typer.Option(min=1, help="Send a history of so many days, ending now.")] = None,
    tps: Annotated[float | None, typer.Option(min=0.1, help="Then live: messages a second.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Live for so long; without it until Ctrl-C.")] = None,
    cards: Annotated[int, typer.Option(min=10, help="Cards in the world; 1,500 make 2,500 payments a day.")] = 1_500,
    fraud_rate: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of payments that are fraud.")] = 0.01,
    bad_share: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of messages that are bad, all kinds.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and --cards: the same cards and merchants.")] = 42,
    label_delay: Annotated[
        str | None, typer.Option(help="7d, lognormal:7d, exponential:60s; without it by who reports the fraud.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Write fraud pattern by transaction_id to this Parquet.")] = None,
    timings: Annotated[bool, typer.Option("--timings", help="Show what each stage cost.")] = False,
    json_file: Json = None,
) -> None:
    """Simulate cards, merchants and thieves: a history with --days, live traffic with --tps, or one after the other.

    Labels are events of their own and come later; those not yet known wait in the stack's folder for the next live run.
    """
    if days is None and tps is None:
        raise InputError("nothing to simulate: give --days for a history, --tps for live traffic, or both")
    from ingestion.simulator import commands as simulator

    simulator.run(
        simulator.Request(days, tps, seconds, cards, fraud_rate, bad_share, seed, label_delay),
        truth,
        json_file,
        show_timings=timings,
    )


@app.command("attack")
def attack(
    cards: Annotated[int, typer.Option(min=10, help="As given to simulate: the same cards.")] = 1_500,
    seed: Annotated[int, typer.Option(min=0, help="As given to simulate.")] = 42,
    times: Annotated[int, typer.Option(min=1, help="Thefts of each pattern.")] = 1,
    json_file: Json = None,
) -> None:
    """Play thefts of each pattern that end now, each after a payment of the card's holder."""
    from ingestion.simulator import attack

    attack.run(cards, seed, times, json_file)


@app.command("replay")
def replay(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV (may be .gz) or Parquet.")],
    mapping: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Which column becomes which field.")],
    speed: Annotated[str, typer.Option(help="max, or a factor: 3600 plays an hour of the file in a second.")] = "max",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check the whole file, send nothing.")] = False,
    label_delay: Annotated[
        str, typer.Option(help="From payment to label: 7d, lognormal:7d (median), exponential:36h (mean).")
    ] = "7d",
    seed: Annotated[int, typer.Option(min=0, help="Of the label delays.")] = 42,
    timings: Annotated[bool, typer.Option("--timings", help="Show what each stage cost.")] = False,
    json_file: Json = None,
) -> None:
    """Send a file of your own: sorted by time, card numbers hashed as they are read, labels as later events.

    Try --dry-run first. A row that cannot be mapped or breaks a rule becomes a dead letter; ids that collide stop it.
    """
    from ingestion.replay import commands as replayer

    request = replayer.Request(file, mapping, speed, label_delay, seed)
    if dry_run:
        raise typer.Exit(replayer.dry_run(request, json_file))
    replayer.run(request, json_file, show_timings=timings)


Codes = Annotated[list[str] | None, typer.Option("--code", help="Only letters of this code; may be given again.")]
Since = Annotated[str | None, typer.Option(help="From this time on: 2026-05-01T12:00 (UTC), or 90m, 2h, 1d ago.")]
Until = Annotated[str | None, typer.Option(help="Before this time, written alike.")]


@dlq.command("list")
def dlq_list(
    code: Codes = None,
    since: Since = None,
    until: Until = None,
    each: Annotated[int, typer.Option(min=0, help="List so many of the newest, with place and reason.")] = 0,
    json_file: Json = None,
) -> None:
    """Count dead letters by stage, code and source."""
    from ingestion.dlq import commands as letter_commands
    from ingestion.dlq import letters

    choice = letters.Choice(tuple(code or ()), letters.moment(since), letters.moment(until))
    letter_commands.list_letters(choice, json_file, each)


@dlq.command("show")
def dlq_show(
    place: Annotated[str, typer.Argument(help="partition/offset, as `dlq list --each 20` shows them.")],
    everything: Annotated[bool, typer.Option("--all", help="Dump all bytes, not the first 512.")] = False,
) -> None:
    """Show one dead letter: why, from where, its bytes, and the record as far as it can be read."""
    from ingestion.dlq import commands as letter_commands

    letter_commands.show_letter(place, everything=everything)


@dlq.command("replay")
def dlq_replay(
    code: Codes = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be sent.")] = False,
) -> None:
    """Send dead letters again to the topic they came from (at least once; Silver drops repeats)."""
    from ingestion.dlq import commands as letter_commands
    from ingestion.dlq import letters

    choice = letters.Choice(tuple(code or ()), letters.moment(since), letters.moment(until))
    letter_commands.replay_letters(choice, dry_run=dry_run)


if __name__ == "__main__":
    commands.run(app)
