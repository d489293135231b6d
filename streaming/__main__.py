"""Commands of the streaming stage: `python -m streaming --help`."""

import logging
from typing import Annotated

import typer

import commands

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Land Kafka's records in Bronze, exactly once."
)


@app.callback()
def _commands() -> None:
    """Land Kafka's records in Bronze, exactly once."""


@app.command("bronze")
def bronze(
    once: Annotated[bool, typer.Option("--once", help="End when all that is on Kafka now has landed.")] = False,
    trigger_seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds between batches; of decisions, twenty times as many.")
    ] = 1.0,
    max_offsets: Annotated[int, typer.Option(min=1, help="Most offsets in one batch.")] = 100_000,
    compact_every: Annotated[int, typer.Option(min=1, help="Batches between two compactions of small files.")] = 60,
    namespace: Annotated[str, typer.Option(help="Topics, tables, checkpoint and lease of its own; for trials.")] = "",
    accept_data_loss: Annotated[
        bool,
        typer.Option(
            "--accept-data-loss", help="Go on where Kafka has let go of unread records, or a topic was made anew."
        ),
    ] = False,
) -> None:
    """Run the one driver that writes bronze.transactions, .labels and .decisions; a second one is refused."""
    from streaming.driver import Options, run
    from streaming.places import Places

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO, force=True)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # repeats what we report
    run(
        Options(
            places=Places(namespace),
            once=once,
            trigger_s=trigger_seconds,
            largest=max_offsets,
            compact_every=compact_every,
            accept_data_loss=accept_data_loss,
        )
    )


if __name__ == "__main__":
    commands.run(app)
