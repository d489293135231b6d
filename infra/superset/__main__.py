"""The commands of Superset's dashboards and roles: load, export."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

import commands
from errors import UnreachableError
from infra.native import stackenv
from infra.native.paths import current_home
from infra.superset.api import Api, signed_in

if TYPE_CHECKING:
    from infra.superset.roles import Roles

app = typer.Typer(
    help="Superset's dashboards and roles as files: infra/superset/assets, infra/superset/roles.yaml.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("load")
def load_command() -> None:
    """Bring the running Superset to what the repository says; what people made beside it stays."""
    from infra.superset import roles

    wanted = roles.read()
    try:
        titles = _load(wanted)
    except UnreachableError:
        # A busy machine's first answers may take longer than anybody waits; what was done is found done.
        titles = _load(wanted)
    print(f"{len(titles)} dashboards, {len(wanted.roles)} roles")


def _load(wanted: "Roles") -> list[str]:
    from infra.superset import assets, roles

    with _superset() as api:
        titles = assets.load(api)
        roles.apply(api, wanted)
    return titles


@app.command("export")
def export_command() -> None:
    """Write the running Superset's published dashboards, and what they use, back to the repository."""
    from infra.superset import assets

    with _superset() as api:
        changed = assets.export(api)
    print("\n".join(f"  {path}" for path in changed) or "nothing changed")


@contextmanager
def _superset() -> Iterator[Api]:
    env = stackenv.required(current_home())
    with signed_in(env["SUPERSET_URL"], env["SUPERSET_PASSWORD"]) as api:
        yield api


if __name__ == "__main__":
    commands.run(app)
