"""Commands of the serving side: `python -m serving --help`."""

import logging
from typing import Annotated

import typer

from errors import LakehouseError

app = typer.Typer(no_args_is_help=True, help="The scorer's HTTP API, and the writer of its online features.")


@app.command("api")
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; without it, API_URL's.")] = None,
) -> None:
    """Serve POST /predict and its companions until told to stop."""
    from serving import server

    server.run(host, port)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a poll says nothing
    try:
        app()
    except LakehouseError as error:
        typer.secho(str(error), fg="red", err=True)
        raise SystemExit(1) from error
