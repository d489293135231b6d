"""The commands of the native stack: fetch, up, down, status, logs, env, refresh and a few for one service."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

import commands
from errors import LakehouseError
from infra.native.paths import current_home

app = typer.Typer(
    help="Run Kafka, the registry, S3 storage, Trino, Redis, MLflow and our own services as child processes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
ServiceName = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE",
        help="kafka, registry, minio, metastore, trino, redis, postgres, mlflow, bronze, scorer, stream, alerts-sink, "
        "desk, refresh, superset",
    ),
]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _say(name: str, text: str) -> None:
    console.print(f"  {name:<11} {text}", highlight=False, soft_wrap=True)


@app.command("fetch")
def fetch_command(
    only: Annotated[str, typer.Option(help="Only these servers, separated by commas.")] = "",
    extra: Annotated[str, typer.Option("--with", help="Also what is fetched on demand: superset, metastore.")] = "",
) -> None:
    """Fetch the servers into the cache outside this checkout, verified by checksum."""
    from infra.native.fetching.progress import fetch_with_progress

    fetch_with_progress(console, only=_names(only), extra=_names(extra))


@app.command("up")
def up_command(
    only: Annotated[str, typer.Option(help="Start only these services, separated by commas.")] = "",
    extra: Annotated[str, typer.Option("--with", help="Also what does not start by default: superset.")] = "",
    timeout: Annotated[float, typer.Option(help="Seconds to wait until everything is ready.")] = 300,
) -> None:
    """Start everything, wait until it answers, and set it up (topics, schemas, keys, catalog)."""
    from infra.native import stack, stackenv
    from infra.native.fetching.progress import fetch_with_progress
    from infra.native.setup import metastore

    home = current_home()
    catalog = metastore.services(metastore.chosen(stackenv.read(home)))
    fetch_with_progress(console, quiet=True, extra=[*_names(extra), *_names(only), *catalog])
    stack.up(home, _say, _names(only), timeout, _names(extra))
    console.print('The stack is up. `make status` shows it; eval "$(make -s env)" gives your shell its addresses.')


@app.command("down")
def down_command() -> None:
    """Stop everything of this stack; its data stays."""
    from infra.native.processes import supervise

    killed = supervise.stop(current_home())
    if killed:
        console.print(f"Ended what no supervisor held any more: {', '.join(killed)}.")
    console.print(f"The stack is down; its data stays in {current_home().root}.")


@app.command("status")
def status_command(
    once: Annotated[bool, typer.Option("--once", help="Print the table once; so it is without a terminal.")] = False,
) -> None:
    """Show each service: state, address, memory, what it waits for; live on a terminal."""
    from infra.native.state.status import table

    home = current_home()
    if once or not console.is_terminal:
        Console(width=max(console.width, 120)).print(table(home))
        return
    # To leave it with Ctrl-C is the ordinary way.
    with suppress(KeyboardInterrupt), Live(table(home), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(1.5)
            live.update(table(home), refresh=True)


@app.command("logs")
def logs_command(
    service: Annotated[str, typer.Argument(help="The service; without it, the names of all logs.")] = "",
    lines: Annotated[int, typer.Option(help="How many lines from the end.")] = 60,
) -> None:
    """Follow a service's log on a terminal; else print its end."""
    home = current_home()
    path = home.logs / f"{service}.log"
    if not service or not path.is_file():
        names = ", ".join(sorted(log.stem for log in home.logs.glob("*.log"))) or "none yet"
        raise LakehouseError(
            f"{f'no log of {service}' if service else 'which service?'} There are logs of: {names} (S=kafka)"
        )
    follow = ["-F"] if sys.stdout.isatty() else []
    with suppress(KeyboardInterrupt):
        subprocess.run(["tail", "-n", str(lines), *follow, str(path)], check=False)


@app.command("env")
def env_command(
    user: Annotated[str, typer.Option("--as", help="Who the shell is to Trino: dbt, analyst, auditor, admin.")] = "",
) -> None:
    """Print shell lines that export every address and credential a user needs."""
    from infra.native import stackenv

    print(stackenv.exports(stackenv.required(current_home()), user))


@app.command("refresh")
def refresh_command(
    once: Annotated[bool, typer.Option("--once", help="One refresh now, after a running one.")] = False,
) -> None:
    """Run dbt, then the feature writer: every REFRESH_SECONDS (default 300), or once."""
    from infra.native import refresh

    if not once:
        refresh.forever(current_home(), float(os.environ.get("REFRESH_SECONDS") or 300))
    elif not refresh.once(current_home()):
        console.print("Nothing to refresh: Bronze has no tables yet.")


@app.command("start")
def start_command(service: ServiceName) -> None:
    """Start one service of a stack that is up."""
    from infra.native.processes import supervise

    supervise.start_service(current_home(), service)


@app.command("stop")
def stop_command(service: ServiceName) -> None:
    """Stop one service; the others go on and say that they miss it."""
    from infra.native.processes import supervise

    supervise.stop_service(current_home(), service)


@app.command("restart")
def restart_command(service: ServiceName) -> None:
    """Stop and start one service."""
    from infra.native.processes import supervise

    supervise.stop_service(current_home(), service)
    supervise.start_service(current_home(), service)


@app.command("ready")
def ready_command(service: ServiceName) -> None:
    """End with 0 when the service answers a real request, else say why not and end with 1."""
    from infra.native import stackenv
    from infra.native.state.ready import CONDITIONS, why_not

    if service not in CONDITIONS:
        raise LakehouseError(f"{service} has no readiness of its own; there are {', '.join(CONDITIONS)}")
    reason = why_not(service, stackenv.required(current_home()))
    if reason is not None:
        console.print(f"{service} is not ready: {reason}", highlight=False)
        raise typer.Exit(1)


@app.command("secrets", hidden=True)
def secrets_command() -> None:
    """Write what a stack in containers starts with (docker-compose's first step); secrets and rules are kept."""
    from infra.native import stackenv
    from infra.native.setup import configure

    env = stackenv.prepare_containers(current_home())
    configure.give_rules(current_home())
    configure.give_keys(current_home(), env)


@app.command("provision", hidden=True)
def provision_command(timeout: float = 300) -> None:
    """Wait for the servers and set them up (docker-compose's second step)."""
    from infra.native import stack

    stack.provision_all(current_home(), _say, timeout)


@app.command("exec", hidden=True)
def exec_command(service: ServiceName) -> None:
    """Become a service: wait for what it needs, then replace this process by it. The supervisor calls this."""
    from infra.native.processes.launch import launch

    launch(current_home(), service)


@app.command("lock", hidden=True)
def lock_command() -> None:
    """Write the servers' checksums anew from what their sources give now (for maintainers)."""
    from infra.native.fetching import fetch, servers

    for server in (*servers.SERVERS, *servers.ON_DEMAND):
        console.print(f"{server.name}: {fetch.write_lock(server)} files")


if __name__ == "__main__":
    commands.run(app)
