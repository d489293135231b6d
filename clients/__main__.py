"""Commands on the servers' side of the contracts: `python -m clients --help`."""

from pathlib import Path
from typing import Annotated

import typer

import commands
from clients import registry

app = typer.Typer(no_args_is_help=True, help="Register and check the Avro schemas.")


@app.callback()
def _commands() -> None:
    """Register and check the Avro schemas."""


@app.command("register")
def register() -> None:
    """Register every topic's schema with BACKWARD compatibility; an incompatible change is refused (exit 1)."""
    for subject, identifier in registry.register_all().items():
        typer.echo(f"{subject}: schema {identifier}")


@app.command("check")
def check(
    subject: Annotated[str, typer.Argument(help="For instance transactions.raw-value.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The changed .avsc.")],
) -> None:
    """Ask the registry whether a changed schema may follow the registered ones (exit 1 with its reason if not)."""
    registry.check(subject, file.read_text())
    typer.echo(f"{subject}: compatible")


if __name__ == "__main__":
    commands.run(app)
