"""The commands of `python -m lake audit`."""

from dataclasses import asdict
from typing import Annotated

import typer

from errors import InputError
from lake.audit.log import Version
from lake.tables import Table

app = typer.Typer(
    no_args_is_help=True,
    help="What the lake's tables said at a time, what changed, who wrote it. The same in SQL: docs/audit.md.",
)
Name = Annotated[str, typer.Argument(metavar="TABLE", help="schema.table, such as gold.card_features_daily.")]
Card = Annotated[str | None, typer.Option(metavar="HASH", help="Rows about this card (card_id, its keyed hash) alone.")]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=VALUE", help="Only rows with this value, as SQL writes it; may be given again."),
]
TIME = "a time with its zone, such as 2026-11-22T14:30:00Z"
Time = Annotated[str | None, typer.Option("--time", metavar="TIME", help=f"As the table stood then: {TIME}.")]
Number = Annotated[int | None, typer.Option(min=0, help="As that version has it.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help=f"Changes after then: {TIME}, or a version.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to then; without it, up to now.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many; what is left out is said.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


@app.command()
def at(
    table: Name,
    time: Time = None,
    version: Number = None,
    card: Card = None,
    where: Where = None,
    limit: Limit = 5,
    as_json: Json = False,
) -> None:
    """What TABLE said at a time: its rows about a card, from the version that stood then."""
    from lake.audit import log, rows, show
    from lake.audit.subjects import about, find

    if (time is None) == (version is None):
        raise InputError("give either --time or --version")
    subject = find(table)
    then = _version(subject.table, time if version is None else str(version))
    condition = about(subject, card, where or [])
    found = rows.at(subject, then, condition, limit + 1)
    if not found:
        _known_at_all(table, card, where or [], then)
    if as_json:
        show.as_json(
            {
                "table": str(subject.table),
                "version": then.number,
                "committed_at": then.at,
                "rows": found[:limit],
                "more": len(found) > limit,
            }
        )
        return
    (run,) = log.runs([then]).values() or (None,)
    show.console.print(f"{subject.table}, {then}, written by {show.writer(then, run)}", highlight=False)
    show.records(found[:limit])
    if len(found) > limit:
        show.console.print(f"more rows than {limit}: --limit shows them")
    if not found:
        show.console.print("no such row stood there then; `python -m lake audit changes` shows when it came")


@app.command()
def changes(
    table: Name,
    start: From,
    end: To = None,
    card: Card = None,
    where: Where = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """What changed in TABLE between two times, row by row, with old and new values."""
    from lake.audit import changes as changing
    from lake.audit import log, show
    from lake.audit.subjects import about, find

    subject = find(table)
    first = _version(subject.table, start)
    last = _version(subject.table, end) if end else log.newest(subject.table)
    if last.number < first.number:
        raise InputError(f"--from is later than --to: {first} and {last}")
    found, is_fed = changing.between(subject, first, last, about(subject, card, where or []))
    if as_json:
        show.as_json(
            {
                "table": str(subject.table),
                "after": first.number,
                "up_to": last.number,
                "from_feed": is_fed,
                "changes": [asdict(each) | {"kind": each.kind} for each in found[:limit]],
                "more": len(found) > limit,
            }
        )
        return
    how = "" if is_fed else "; two versions compared, for the change data feed does not cover them"
    show.console.print(f"{subject.table} after {first} up to {last}: {len(found):,} changes{how}", highlight=False)
    show.changed(found[:limit], subject.key)
    if len(found) > limit:
        show.console.print(f"more than {limit}: --limit shows them, --card and --where choose")


@app.command()
def versions(
    table: Name,
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"From then on: {TIME}.")] = None,
    end: To = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """Who wrote each version of TABLE: user and query, the dbt run and its model, the stream's batch."""
    from lake.audit import log, show
    from lake.audit.subjects import find

    subject = find(table)
    last = _version(subject.table, end) if end else log.newest(subject.table)
    oldest = log.oldest(subject.table).number
    first = max(_version(subject.table, start).number if start else 0, oldest, last.number - limit + 1)
    found = list(log.between(subject.table, first, last.number))[::-1]
    runs = log.runs(found)
    if as_json:
        show.as_json(
            [asdict(each) | {"run": asdict(run) if (run := runs.get(each.query_id or "")) else None} for each in found]
        )
        return
    show.history(found, runs)
    if first > oldest:
        show.console.print(f"older ones down to {oldest}: --limit, --to")


@app.command()
def known(
    time: Annotated[str, typer.Option("--at", metavar="TIME", help=f"The moment asked about: {TIME}.")],
    card: Card = None,
    table: Annotated[
        list[str] | None, typer.Option(help="Only this table; may be given again. Without it, those about a card.")
    ] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """What was known at a time by the columns, beside what was stored then, and why each row differs."""
    from lake.audit import known as knowing
    from lake.audit import show
    from lake.audit.times import moment

    if card is None and not (table and where):
        raise InputError("give --card, or --table with --where: a whole table is too much to explain row by row")
    then = moment(time)
    names = table or [str(each) for each in knowing.FOR_A_CARD]
    found = [knowing.compare(name, then, card, where or []) for name in names]
    if not any(each.known or each.stored or each.differences for each in found):
        raise InputError(
            f"nothing about {card or where} was known or stored then, or differs: is the card the keyed "
            "hash in silver.transactions.card_id?"
        )
    if as_json:
        show.as_json([asdict(each) | {"table": str(each.table)} for each in found])
        return
    for each in found:
        show.compared(each)


def _version(table: Table, text: str | None) -> Version:
    from lake.audit import log
    from lake.audit.times import moment

    wanted = (text or "").strip()
    return log.read(table, int(wanted)) if wanted.isdecimal() else log.at(table, moment(wanted))


def _known_at_all(table: str, card: str | None, where: list[str], then: Version) -> None:
    """Raise InputError when the rows asked for stand in the table of now neither."""
    from lake.audit import log, rows
    from lake.audit.subjects import about, find

    subject = find(table)
    if not rows.at(subject, log.newest(subject.table), about(subject, card, where), 1):
        raise InputError(
            f"{table} says nothing of {card or where}, neither in {then} nor now: is the card the keyed "
            "hash in silver.transactions.card_id?"
        )
