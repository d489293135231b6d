"""Runs a room's commands: an error of ours ends one as a red line and exit code 1, never as a traceback."""

import typer

from errors import LakehouseError


def run(app: typer.Typer) -> None:
    """Run the command that the arguments name; exits with Typer's codes, or 1 after an error of ours."""
    try:
        app()
    except LakehouseError as error:
        typer.secho(str(error), fg="red", err=True)
        raise SystemExit(1) from error
