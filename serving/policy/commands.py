"""Commands about rules, lists and notes: `python -m serving rules|lists|notes --help`."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from errors import InputError

rules = typer.Typer(no_args_is_help=True, help="The rules in force, and how to change them.")
lists = typer.Typer(no_args_is_help=True, help="Allow, deny and watch lists.")
notes = typer.Typer(no_args_is_help=True, help="Notes on cards, which keep alerts back for a while.")

File = Annotated[Path, typer.Argument(help="A file of rules.")]
Listed = Annotated[Literal["deny", "allow", "watch"], typer.Argument(help="Which list.")]
Named = Annotated[Literal["card", "account", "acceptor", "device"], typer.Argument(help="What the value names.")]
Value = Annotated[str, typer.Argument(help="The keyed hash; of an acceptor, source:merchant_id.")]
Card = Annotated[str, typer.Argument(help="The card's keyed hash, 64 hex digits.")]
Until = Annotated[str, typer.Option(help="A day (its first moment, UTC) or a time with offset.")]
Covers = Annotated[
    list[str] | None,
    typer.Option("--reason", help="Code of a reason, or a rule's name, that it covers; again for more. None: all."),
]


@rules.command("check")
def check(file: File) -> None:
    """Read a file of rules with the lists in force, and say what is wrong with it or which version it is."""
    from serving.policy import in_force as inforce
    from serving.policy import publish

    found = publish.read(file, inforce.files())
    typer.echo(
        f"good: {len(found.contents.rules)} rules, {len(found.contents.lists)} entries of lists, "
        f"version {found.version}"
    )


@rules.command("publish")
def publish_rules(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Publish whatever the rules match.")] = False,
    most: Annotated[float, typer.Option(min=0, max=1, help="Largest share of payments that a rule may match.")] = 0.05,
) -> None:
    """Try rules on the payments decided lately; put them in force unless one that acts matches more than the share."""
    from errors import LakehouseError
    from serving.policy import in_force as inforce
    from serving.policy import publish

    files = inforce.files()
    found = publish.read(file, files)
    try:
        tried = publish.attempt(found)
    except LakehouseError as error:
        if not yes:
            raise
        typer.echo(f"not tried: {error}")
        tried = publish.Tried(0, {})
    shadow = {rule.name for rule in found.contents.rules if rule.shadow}
    for name, count in tried.matches.items():
        typer.echo(
            f"{name}{' (shadow)' if name in shadow else ''}: {count:,} of {tried.rows:,} payments, "
            f"{count / tried.rows:.2%}"
        )
    if not yes and not tried.rows:
        raise InputError("there are no logged payments to try the rules on; --yes publishes them all the same")
    if not yes and (above := tried.above(found, most)):
        raise InputError(
            f"not published: {', '.join(above)} would match more than {most:.0%} of payments; narrow the "
            "condition, make it a shadow rule, or say --yes"
        )
    publish.publish(file, files)
    typer.echo(f"published: version {found.version} in {files.rules}")


@rules.command("show")
def show() -> None:
    """Print the rules that the files say, in the order in which they act."""
    from serving.policy import in_force as inforce

    files = inforce.files()
    found = files.read()
    if found is None:
        typer.echo(f"no rules: {files.rules} is not there")
        return
    typer.echo(f"version {found.version}, {len(found.contents.lists)} entries of lists")
    for each in found.compiled:
        rule = each.rule
        when = "".join(
            [
                f", from {rule.starts.isoformat()}" if rule.starts else "",
                f", until {rule.until.isoformat()}" if rule.until else "",
            ]
        )
        shadow = ", shadow" if rule.shadow else ""
        typer.echo(f"{rule.priority} {rule.name}: {rule.action}{shadow}, {rule.owner}{when}: {rule.condition}")


@lists.command("add")
def add(name: Listed, by: Named, value: Value, reason: Annotated[str, typer.Option(help="Why.")], until: Until) -> None:
    """Put an entry on a list, until a time."""
    from serving.policy import in_force as inforce
    from serving.policy import lists as listing

    listing.add(inforce.files(), listing.place(name, by, value), reason, until)


@lists.command("remove")
def remove(name: Listed, by: Named, value: Value) -> None:
    """Take an entry off a list."""
    from serving.policy import in_force as inforce
    from serving.policy import lists as listing

    listing.remove(inforce.files(), listing.place(name, by, value))


@lists.command("show")
def show_lists() -> None:
    """Print every entry."""
    from serving.policy import in_force as inforce
    from serving.policy import lists as listing

    for each in listing.shown(inforce.files()):
        typer.echo(f"{each.list} {each.by} {each.value} until {each.until.isoformat()}: {each.reason}")


@notes.command("travel")
def travel(card: Card, until: Until, covers: Covers = None) -> None:
    """Note that the holder travels; without --reason it covers place and merchant."""
    _note("travel", card, until, covers or ["place", "merchant"])


@notes.command("clear")
def clear(card: Card, until: Until, covers: Covers = None) -> None:
    """Note that an alert on the card was found genuine."""
    _note("cleared", card, until, covers)


def _note(kind: str, card: str, until: str, covers: list[str] | None) -> None:
    from clients import redis
    from serving.online import notes as kept
    from serving.policy import in_force as inforce

    if not re.fullmatch("[0-9a-f]{64}", card):
        raise InputError("a card is named by its keyed hash, 64 hex digits, never by its number")
    found = inforce.files().read()
    rules = {rule.name for rule in found.contents.rules} if found else set()
    if unknown := set(covers or ()) - {*kept.GROUPS, *rules}:
        raise InputError(f"{min(unknown)} is neither the code of a reason ({', '.join(kept.GROUPS)}) nor a rule's name")
    try:
        end = datetime.fromisoformat(until)
    except ValueError as error:
        raise InputError(f"--until {until}: {error}") from None
    if end.tzinfo is None:
        if len(until) > len("2026-01-01"):
            raise InputError(f"--until {until}: a time needs its offset, as in {until}Z")
        end = end.replace(tzinfo=UTC)
    codes = None if covers is None else frozenset(covers)
    note = kept.Note(kept.NoteKind(kind), round(end.timestamp() * 1_000_000), codes)
    for each in kept.put(redis.connect(), card, note):
        said = ", ".join(sorted(each.codes)) if each.codes is not None else "everything"
        typer.echo(f"{each.kind} until {datetime.fromtimestamp(each.until_us / 1e6, UTC).isoformat()}: covers {said}")
