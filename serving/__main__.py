"""Commands of the serving side: `python -m serving --help`."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import commands

app = typer.Typer(no_args_is_help=True, help="The scorer's HTTP API, and the writer of its online features.")


@app.command("api")
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; without it, API_URL's.")] = None,
) -> None:
    """Serve POST /predict and its companions until told to stop."""
    from serving import server

    server.run(host, port)


writer = typer.Typer(invoke_without_command=True, help="Push what changed in Gold to Redis.")
app.add_typer(writer, name="feature-writer")


@writer.callback()
def feature_writer(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Push every entity, whatever the mark.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write counts and seconds there.")] = None,
) -> None:
    """Push rows of Gold that changed since the last push to Redis; an emptied Redis gets everything."""
    if context.invoked_subcommand is not None:
        return
    from clients import redis
    from serving.writer import push

    pushed = []
    for done in push(redis.connect(), full=full):
        pushed.append(asdict(done))
        rate = f", {done.sent / (done.read_s + done.push_s):,.0f}/s" if done.sent else ""
        typer.echo(f"{done.kind.value}: {done.sent:,} changed, {done.written:,} written; read {done.read_s:.2f} s, "
                   f"pushed {done.push_s:.2f} s{rate}")  # fmt: skip
    if json_file:
        json_file.write_text(json.dumps(pushed, indent=1))


@writer.command("verify")
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Count Redis against Gold, value by value; exit 1 if they differ."""
    from clients import redis
    from serving.verify import report
    from serving.verify import verify as compare

    counts = compare(redis.connect())
    if as_json:
        typer.echo(json.dumps(report(counts)))
    else:
        for kind, count in counts.items():
            typer.echo(f"{kind.value}: {count.gold:,} in Gold, {count.redis:,} in Redis; {count.missing:,} missing, "
                       f"{count.older:,} older, {count.newer:,} newer, {count.different:,} different; "
                       f"{count.dormant:,} dormant")  # fmt: skip
    if not all(count.equal for count in counts.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a poll says nothing
    commands.run(app)
