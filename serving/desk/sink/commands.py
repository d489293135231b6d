"""Commands for decisions that the sink refused: `python -m serving refused --help`."""

import time

import typer

refused = typer.Typer(no_args_is_help=True, help="Decisions that could not be kept for the console, and why.")


@refused.command("list")
def show() -> None:
    """Name each: where it stands on Kafka, since when it is refused, and what is wrong with it."""
    from clients import postgres
    from serving.desk.sink import refused as refusals

    with postgres.connect() as connection:
        found = refusals.kept(connection)
    for each in found:
        typer.echo(
            f"{each.topic} {each.partition} {each.offset}  {each.at:%Y-%m-%d %H:%M:%S}  {each.code}: {each.reason}"
        )
    typer.echo(f"{len(found)} refused decisions")


@refused.command("retry")
def retry() -> None:
    """Try all of them again, after the cause is mended; exit 1 if some are refused still."""
    from clients import postgres, registry
    from contracts.topics import DECISIONS, TRANSACTIONS
    from serving.desk.config import config
    from serving.desk.sink import refused as refusals

    writer = registry.writers(DECISIONS, TRANSACTIONS)
    left = 0
    with postgres.connect() as connection:
        found = refusals.kept(connection)
        for each in found:
            if why := refusals.again(connection, each, writer, time.time_ns() // 1_000, config()):
                left += 1
                typer.echo(f"{each.topic} {each.partition} {each.offset}: {why}")
    typer.echo(f"{len(found) - left} kept, {left} refused still")
    if left:
        raise typer.Exit(1)
