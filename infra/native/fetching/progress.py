"""Show the fetching of servers: a line each that lives on a terminal, plain lines elsewhere."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.native.fetching import fetch
from infra.native.fetching.servers import ON_DEMAND, SERVERS, Server


def fetch_with_progress(
    console: Console, *, quiet: bool = False, only: Sequence[str] = (), extra: Sequence[str] = ()
) -> None:
    """Fetch what is missing (of `only`, if any) and `extra`, and show it; with `quiet`, say nothing when all is there.

    Raises FetchError.
    """
    servers = [server for server in SERVERS if not only or server.name in only]
    servers += [server for server in ON_DEMAND if server.name in {*only, *extra}]
    if quiet and not fetch.missing(servers):
        return
    if not console.is_terminal:
        fetch.fetch_all(
            lambda server, text: console.print(f"  {server.name:<11} {text}", highlight=False, soft_wrap=True), servers
        )
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[name]:<11}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {server: progress.add_task("in line", name=server.name, total=1) for server in servers}

        def say(server: Server, text: str) -> None:
            over = text.startswith(("fetched", "in the cache", "failed"))
            progress.update(tasks[server], description=text, completed=1 if over else 0)

        fetch.fetch_all(say, servers)
