"""The commands `python -m serving keys`: add, list and revoke API keys."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import ValidationError

from errors import InputError
from serving.principals import file as keyfile
from serving.principals.file import ALL, Key
from serving.principals.principal import Role
from settings import settings

keys = typer.Typer(no_args_is_help=True, help="API keys: who may call, as what, for which sources, until when.")
LASTS = timedelta(days=365)
LOCAL = timedelta(days=3_650)
Name = Annotated[str, typer.Argument(help="The principal's name; verdicts and logs carry it.")]


@keys.command("add")
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What it may do.")],
    source: Annotated[list[str] | None, typer.Option(help="A source that it sees; repeat it, or '*' for all.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Its end, UTC; without it, a year from now.")] = None,
    sha256: Annotated[str, typer.Option(help="Of a key that was made elsewhere; without it, one is made.")] = "",
) -> None:
    """Add a key and print it, once: only its hash is kept. It is in force within seconds."""
    made = "" if sha256 else secrets.token_urlsafe(32)
    digest = sha256.strip().lower() or keyfile.fingerprint(made)
    keyfile.add(keyfile.path(), _key(name, role, source or [], digest, until))
    typer.echo(made or f"added a key of {name}")


@keys.command("list")
def show() -> None:
    """Show each key: its name, role, sources, end, and what it is called where a name has two."""
    now = datetime.now(UTC)
    for key in keyfile.read(keyfile.path()):
        ends = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else f"until {key.until:%Y-%m-%d %H:%M}"
        over = "" if key.revoked_at or key.in_force(now) else ", over"
        typer.echo(f"{key.name}  {key.role}  {keyfile.shown(key.sources)}  {ends}{over}  {key.ident}")


@keys.command("revoke")
def revoke(
    name: Name,
    ident: Annotated[str | None, typer.Option("--id", help="Only the key so called in `keys list`.")] = None,
) -> None:
    """End the keys of a principal, and with them its sessions and open streams, within seconds."""
    count = keyfile.revoke(keyfile.path(), name, ident)
    typer.echo(f"revoked {count} key{'' if count == 1 else 's'} of {name}")


@keys.command("provision", hidden=True)
def provision() -> None:
    """Make the file of a new local stack from API_KEY, INVESTIGATOR_KEY and OPERATOR_KEY; one that is there is kept."""
    file = keyfile.path()
    if file.exists():
        return
    known, until = settings(), datetime.now(UTC) + LOCAL
    for name, role, secret in (
        ("local", Role.INTEGRATOR, known.api_key),
        ("investigator", Role.INVESTIGATOR, known.investigator_key),
        ("operator", Role.OPERATOR, known.operator_key),
    ):
        digest = keyfile.fingerprint(secret.get_secret_value())
        keyfile.add(file, _key(name, role, [ALL] if role is Role.INTEGRATOR else [], digest, until))


def _key(name: str, role: Role, sources: list[str], digest: str, until: datetime | None) -> Key:
    now = datetime.now(UTC)
    if role is Role.INTEGRATOR and not sources:
        raise InputError("an integrator needs its sources: --source acquirer-1 (repeat it), or --source '*' for all")
    if role is Role.OPERATOR and sources:
        raise InputError("an operator sees no payments: leave --source out")
    ends = now + LASTS if until is None else until if until.tzinfo else until.replace(tzinfo=UTC)
    try:
        return Key(
            sha256=digest,
            name=name,
            role=role,
            sources=ALL if not sources or ALL in sources else sorted(set(sources)),
            until=ends,
            added_at=now,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(f"{first['loc'][0]} cannot be used: {first['msg']}") from None
