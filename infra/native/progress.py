"""Show the fetching of servers: a line each that lives on a terminal, plain lines elsewhere."""

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.native import fetch
from infra.native.servers import SERVERS, Server


def fetch_with_progress(console: Console, *, quiet: bool = False) -> None:
    """Fetch what is missing and show it; with `quiet`, say nothing when all is there. Raises FetchError."""
    if quiet and not fetch.missing():
        return
    if not console.is_terminal:
        fetch.fetch_all(lambda server, text: console.print(f"  {server.name:<9} {text}", highlight=False))
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[name]:<9}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {server: progress.add_task("in line", name=server.name, total=1) for server in SERVERS}

        def say(server: Server, text: str) -> None:
            over = text.startswith(("fetched", "in the cache", "failed"))
            progress.update(tasks[server], description=text, completed=1 if over else 0)

        fetch.fetch_all(say)
