"""Commands about rules and lists: `python -m serving rules|lists --help`."""

import csv
import getpass
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from errors import InputError, LakehouseError

if TYPE_CHECKING:  # what a command needs it imports itself: --help is to be quick
    from serving.policy.publish import Written
    from serving.policy.records import Action

rules = typer.Typer(no_args_is_help=True, help="The rules in force, and how to change them.")
lists = typer.Typer(no_args_is_help=True, help="Allow, deny and watch lists.")

File = Annotated[Path, typer.Argument(help="A file of rules.")]
Version = Annotated[str, typer.Argument(help="A version, or how it begins.")]
Listed = Annotated[Literal["deny", "allow", "watch"], typer.Argument(help="Which list.")]
Named = Annotated[Literal["card", "account", "acceptor", "device"], typer.Argument(help="What the value names.")]
Value = Annotated[str, typer.Argument(help="The keyed hash; of an acceptor, source:merchant_id.")]
Author = Annotated[
    str, typer.Option("--by", help="Who does it; default: the login name.", default_factory=getpass.getuser)
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it whatever the rules match.")]
Most = Annotated[float, typer.Option(min=0, max=1, help="Largest share of payments that a rule may match.")]


@rules.command("check")
def check(file: File) -> None:
    """Read a file of rules, and say what is wrong with it or which version it is."""
    from serving.policy import publish

    found = publish.read(file)
    typer.echo(f"good: {len(found.ruleset.contents.rules)} rules, version {found.version}")


@rules.command("publish")
def publish_rules(
    file: File,
    author: Author,
    yes: Yes = False,
    most: Most = 0.05,
    first: Annotated[bool, typer.Option("--first", help="Only where there are no rules yet.")] = False,
) -> None:
    """Try rules on the payments decided lately; put them in force unless one that acts matches more than the share."""
    from serving.policy import publish
    from serving.policy.records import Action

    found = publish.read(file)
    if first and _changes():
        typer.echo("there are rules already")
        return
    if not first:
        publish.check_author(Action.PUBLISH, found.version, author, ())
        _try(found, yes=yes, most=most)
    _write(Action.PUBLISH, found.version, author, found.text)
    typer.echo(f"published: version {found.version}")


@rules.command("propose")
def propose(file: File, author: Author, yes: Yes = False, most: Most = 0.05) -> None:
    """Try rules as `publish` does, and keep them until another person approves them."""
    from serving.policy import publish
    from serving.policy.records import Action

    found = publish.read(file)
    _try(found, yes=yes, most=most)
    _write(Action.PROPOSE, found.version, author, found.text)
    typer.echo(f"proposed: version {found.version}; another person approves it: rules approve {found.version[:12]}")


@rules.command("approve")
def approve(version: Version, author: Author) -> None:
    """Put a proposed version in force."""
    from serving.policy.records import Action

    _put(Action.APPROVE, version, author)


@rules.command("rollback")
def rollback(version: Version, author: Author) -> None:
    """Put a version in force again that was in force before."""
    from serving.policy.records import Action

    _put(Action.ROLLBACK, version, author)


@rules.command("history")
def history() -> None:
    """Print what was done with which version: when, by whom, and what it changed to what was in force."""
    from serving.policy import publish
    from serving.policy import topic as policy
    from serving.policy.lists import iso
    from serving.policy.records import Action

    replica, before = policy.current(policy.name()), None
    for each in replica.changes():
        try:
            ruleset = replica.rules(each.version)
            what = publish.difference(before, ruleset)
        except InputError as error:  # of another program's
            ruleset, what = None, f"cannot be used: {error}"
        typer.echo(f"{iso(each.at_us)} {each.action} {each.version[:12]} by {each.author}: {what}")
        if each.action is not Action.PROPOSE:
            before = ruleset


@rules.command("show")
def show() -> None:
    """Print the rules that Kafka has, in the order in which they act."""
    from serving.policy import topic as policy
    from serving.policy.lists import iso

    replica = policy.current(policy.name())
    newest = replica.in_force()
    if newest is None:
        typer.echo("no rules: nobody published any")
        return
    typer.echo(f"version {newest.version}, {newest.action} by {newest.author} at {iso(newest.at_us)}")
    for each in replica.rules(newest.version).compiled:
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
def add(
    name: Listed,
    by: Named,
    value: Value,
    author: Author,
    reason: Annotated[str, typer.Option(help="Why.")],
    until: Annotated[str, typer.Option(help="A day (its first moment, UTC) or a time with offset.")],
) -> None:
    """Put an entry on a list, until a time; in place of an older one for the same."""
    from serving.policy import lists as listing
    from serving.policy import topic as policy

    policy.write([listing.add(listing.place(name, by, value), reason, until, author, _now_us())], policy.name())


@lists.command("import")
def import_entries(
    file: Annotated[Path, typer.Argument(help="CSV with the columns list, by, value, reason, until.")], author: Author
) -> None:
    """Put all entries of a file on their lists, or say which lines are wrong and change nothing."""
    from serving.policy import lists as listing
    from serving.policy import topic as policy

    found = listing.read(file, author, _now_us())
    policy.write(found, policy.name())
    typer.echo(f"{len(found):,} entries")


@lists.command("remove")
def remove(name: Listed, by: Named, value: Value, author: Author) -> None:
    """Take an entry off a list."""
    from serving.policy import lists as listing
    from serving.policy import topic as policy

    replica = policy.current(policy.name())
    policy.write([listing.remove(listing.place(name, by, value), replica, author, _now_us())], policy.name())


@lists.command("show")
def show_lists() -> None:
    """Print every entry that is in force as CSV, which `import` takes again."""
    from serving.policy import lists as listing
    from serving.policy import topic as policy

    csv.writer(sys.stdout).writerows(listing.table(policy.current(policy.name()).entries(_now_us())))


@lists.command("measure", hidden=True)
def measure(count: int, adds: int, json_file: Annotated[Path, typer.Option("--json")]) -> None:
    """Fill the topic of a namespace with entries and measure it; for the bench."""
    from serving.config import topic_prefix
    from serving.policy import measure as measuring

    if not topic_prefix():
        raise InputError("SERVING_NAMESPACE is not set: entries made up for a measurement would be in force")
    json_file.write_text(json.dumps(measuring.run(count, adds)))


def _changes() -> int:
    from serving.policy import topic as policy

    return len(policy.current(policy.name()).changes())


def _try(found: "Written", *, yes: bool, most: float) -> None:
    """Count what the rules match; InputError if that is too much, or there is nothing to try them on."""
    from serving.policy import publish

    try:
        tried = publish.attempt(found.ruleset)
    except LakehouseError as error:
        if not yes:
            raise
        typer.echo(f"not tried: {error}")
        tried = publish.Tried(0, {})
    shadow = {rule.name for rule in found.ruleset.contents.rules if rule.shadow}
    for name, count in tried.matches.items():
        typer.echo(
            f"{name}{' (shadow)' if name in shadow else ''}: {count:,} of {tried.rows:,} payments, "
            f"{count / tried.rows:.2%}"
        )
    if not yes and not tried.rows:
        raise InputError("there are no logged payments to try the rules on; --yes takes them all the same")
    if not yes and (above := tried.above(found.ruleset, most)):
        raise InputError(
            f"nothing was changed: {', '.join(above)} would match more than {most:.0%} of payments; narrow the "
            "condition, make it a shadow rule, or say --yes"
        )


def _put(action: "Action", start: str, author: str) -> None:
    """Put a known version in force."""
    from serving.policy import publish
    from serving.policy import topic as policy

    replica = policy.current(policy.name())
    changes = replica.changes()
    version = publish.whole(start, changes)
    publish.check_author(action, version, author, changes)
    replica.rules(version)  # refused here rather than by every scorer
    _write(action, version, author, replica.text(version))
    typer.echo(f"in force: version {version}")


def _write(action: "Action", version: str, author: str, text: str) -> None:
    from serving.policy import topic as policy
    from serving.policy.records import Change, Text

    policy.write([Text(version, text), Change(_now_us(), action, version, author)], policy.name())


def _now_us() -> int:
    return time.time_ns() // 1_000
