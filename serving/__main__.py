"""Commands of the serving side: `python -m serving --help`."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import commands
from serving.desk.sink import commands as sink_commands
from serving.online import note_commands
from serving.policy import commands as rule_commands
from serving.principals import commands as key_commands

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="The scorers, the desk for people, and the writer of online features.",
)


@app.command("api")
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; without it, API_URL's.")] = None,
) -> None:
    """Serve POST /predict and its companions until told to stop."""
    from serving.api.app import create
    from serving.http import server
    from settings import settings

    number = port or server.port_of(settings().api_url)
    server.run(create(f"scorer-{number}"), host, number)


@app.command("stream")
def stream(
    namespace: Annotated[
        str, typer.Option(help="Topics and group of its own, for trials; give it a REDIS_URL of its own too.")
    ] = "",
    member: Annotated[str, typer.Option(help="A name of its own: started again, it goes on at once.")] = "",
) -> None:
    """Decide every payment on Kafka as it comes, and keep the cards' windows; several of these share the work."""
    from serving.stream import scorer as stream

    stream.run(namespace, member)


@app.command("desk")
def desk(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; without it, DESK_URL's.")] = None,
) -> None:
    """Serve alerts, payments, statistics, the pipeline's health and the console until told to stop."""
    from serving.desk.api import events
    from serving.desk.app import create
    from serving.http import server
    from settings import settings

    server.run(create(), host, port or server.port_of(settings().desk_url), events.stopping.set)


@app.command("alerts-sink")
def alerts_sink(
    namespace: Annotated[str, typer.Option(help="Topic and group of its own, for trials.")] = "",
    member: Annotated[str, typer.Option(help="A name of its own: started again, it goes on at once.")] = "",
) -> None:
    """Keep decisions in PostgreSQL and join what is not approved to alerts, for the console and its API."""
    from serving.desk.sink import consumer as sink

    sink.run(namespace, member)


@app.command("memory")
def memory() -> None:
    """Say what the online store and the kept answers take in memory, a kind at a time; exit 1 if one is nearly full."""
    from clients import redis
    from serving.online import memory
    from settings import settings

    urls = {"online store": settings().redis_url, "kept answers": settings().answers_url}
    full = False
    for name, url in urls.items():
        with redis.connect(url.get_secret_value()) as client:
            found, usage = redis.memory(client), memory.measure(client)
        bound = f" of {found.limit / redis.GB:.2f} GB, {found.share:.0%}" if found.limit else ", without a bound"
        typer.echo(f"{name}: {found.used / redis.GB:.3f}{bound}")
        for each in usage:
            typer.echo(f"  {each.kind}: {each.keys:,}, {each.bytes_each:,.0f} bytes each, {each.a_gb:,} a GB")
        if found.trouble:
            typer.echo(f"  {found.trouble}")
        full = full or found.trouble is not None
    if full:
        raise typer.Exit(1)


@app.command("rebuild")
def rebuild() -> None:
    """Forget all windows and have the running stream make those of the last 25 hours again from Kafka."""
    from serving.online import rebuild

    rebuild.run(typer.echo)


@app.command("reproduce")
def reproduce(
    transaction_id: Annotated[str, typer.Argument(help="The payment's id.")],
    source: Annotated[str | None, typer.Option(help="Its tenant or acquirer; without it, every one's.")] = None,
    from_lake: Annotated[
        bool, typer.Option("--from-lake", help="Make the vector again too, from Bronze and Gold, and say what differs.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what was found there.")] = None,
) -> None:
    """Make a payment's decisions again from their records and the model's files; exit 1 unless all are identical.

    With --from-lake a feature may differ from the lake's for a cause that is recorded; without one, exit 1 as well.
    """
    from serving.records import against_lake as retold
    from serving.records import reproduce

    found = reproduce.run(transaction_id, source)
    lake = retold.run([each.record for each in found]) if from_lake else []
    for number, each in enumerate(found):
        typer.echo(each.line)
        for line in lake[number].lines if lake else ():
            typer.echo(f"  {line}")
    if json_file:
        said = [each.summary | {"lake": lake[number].summary if lake else None} for number, each in enumerate(found)]
        json_file.write_text(json.dumps(said, indent=1))
    if not all(each.identical for each in found) or any(each.unexplained for each in lake):
        raise typer.Exit(1)


app.add_typer(rule_commands.rules, name="rules")
app.add_typer(rule_commands.lists, name="lists")
app.add_typer(note_commands.notes, name="notes")
app.add_typer(sink_commands.refused, name="refused")
app.add_typer(key_commands.keys, name="keys")

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
    from serving.online.writer.push import push

    pushed = []
    for done in push(redis.connect(), full=full):
        pushed.append(asdict(done))
        rate = f", {done.sent / (done.read_s + done.push_s):,.0f}/s" if done.sent else ""
        typer.echo(
            f"{done.kind.value}: {done.sent:,} changed, {done.written:,} written; read {done.read_s:.2f} s, "
            f"pushed {done.push_s:.2f} s{rate}"
        )
    if json_file:
        json_file.write_text(json.dumps(pushed, indent=1))


@writer.command("verify")
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Count Redis against Gold, value by value; exit 1 if they differ."""
    from clients import redis
    from serving.online.writer.verify import report
    from serving.online.writer.verify import verify as compare

    counts = compare(redis.connect())
    if as_json:
        typer.echo(json.dumps(report(counts)))
    else:
        for kind, count in counts.items():
            typer.echo(
                f"{kind.value}: {count.gold:,} in Gold, {count.redis:,} in Redis; {count.missing:,} missing, "
                f"{count.older:,} older, {count.newer:,} newer, {count.different:,} different; "
                f"{count.dormant:,} dormant"
            )
    if not all(count.equal for count in counts.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a poll says nothing
    commands.run(app)
