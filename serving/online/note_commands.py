"""Commands about notes on cards: `python -m serving notes --help`."""

import getpass
import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from errors import InputError

notes = typer.Typer(no_args_is_help=True, help="Notes on cards: alerts kept back, or rules lifted, for a while.")

Card = Annotated[str, typer.Argument(help="The card's keyed hash, 64 hex digits.")]
Until = Annotated[str, typer.Option(help="A day (its first moment, UTC) or a time with offset.")]
Author = Annotated[
    str, typer.Option("--by", help="Who says so; default: the login name.", default_factory=getpass.getuser)
]
Reason = Annotated[str, typer.Option(help="Why.")]
COVERS = "Code of a reason of the model, or a rule's name, that it covers; again for more"


@notes.command("travel")
def travel(
    card: Card,
    author: Author,
    reason: Reason,
    until: Until,
    covers: Annotated[list[str] | None, typer.Option(help=f"{COVERS}. None: place and merchant.")] = None,
) -> None:
    """Note that the holder travels: alerts of the card for these reasons are not raised."""
    _note("travel", card, until, covers or ["place", "merchant"], author, reason)


@notes.command("clear")
def clear(
    card: Card,
    author: Author,
    reason: Reason,
    until: Until,
    covers: Annotated[list[str], typer.Option(help=f"{COVERS}.")],
) -> None:
    """Note that an alert on the card was found genuine: the like are not raised."""
    _note("cleared", card, until, covers, author, reason)


@notes.command("lift")
def lift(
    card: Card,
    author: Author,
    reason: Reason,
    until: Until,
    rule: Annotated[list[str], typer.Option(help="A rule that no longer blocks the card; again for more.")],
) -> None:
    """Lift a rule's block for the card; a deny list stands."""
    _note("lifted", card, until, rule, author, reason)


def _note(kind: str, card: str, until: str, covers: list[str], author: str, reason: str) -> None:
    from clients import redis
    from serving.online import notes as kept
    from serving.policy import topic as policy

    if not re.fullmatch("[0-9a-f]{64}", card):
        raise InputError("a card is named by its keyed hash, 64 hex digits, never by its number")
    replica = policy.current(policy.name())
    newest = replica.in_force()
    rules = {rule.name for rule in replica.rules(newest.version).contents.rules} if newest else set()
    allowed = rules if kind == kept.NoteKind.LIFTED else {*kept.GROUPS, *rules}
    if unknown := set(covers) - allowed:
        raise InputError(f"{min(unknown)} is none of {', '.join(sorted(allowed)) or 'the rules, for there are none'}")
    try:
        end = datetime.fromisoformat(until)
    except ValueError as error:
        raise InputError(f"--until {until}: {error}") from None
    if end.tzinfo is None:
        if len(until) > len("2026-01-01"):
            raise InputError(f"--until {until}: a time needs its offset, as in {until}Z")
        end = end.replace(tzinfo=UTC)
    until_us = round(end.timestamp() * 1_000_000)
    note = kept.Note(kept.NoteKind(kind), until_us, frozenset(covers), author, reason)
    for each in kept.put(redis.connect(), card, note):
        what = ", ".join(sorted(each.codes)) if each.codes is not None else "everything"
        end = datetime.fromtimestamp(each.until_us / 1e6, UTC)
        typer.echo(f"{each.kind} until {end.isoformat()}: covers {what}; {each.author or 'unknown'}: {each.reason}")
