"""The commands `dlq list`, `dlq show` and `dlq replay`."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from contracts import schemas, wire
from contracts.deadletter import ORIGIN_HEADER, Stage
from contracts.partitioning import MISPLACED
from contracts.topics import DEAD_LETTERS, TOPICS, TRANSACTIONS
from contracts.validation import accept
from errors import RejectedError
from ingestion.console import bar, console, write_json
from ingestion.dlq import letters
from ingestion.dlq.letters import Choice, Letter
from ingestion.producer import Sender

DUMPED = 512


def list_letters(choice: Choice, json_file: Path | None, each: int) -> None:
    """Print letters by stage, code and source, with counts and times; then the newest `each` of them one by one."""
    found = list(letters.find(choice))
    table = Table("stage", "code", "source", "letters", "first (UTC)", "last (UTC)")
    for (stage, code, source), group in sorted(_grouped(found).items()):
        times = [letter.context.time_ms for letter in group]
        table.add_row(stage, code, escape(source), f"{len(group):,}", _time(min(times)), _time(max(times)))
    console.print(table)
    for letter in sorted(found, key=lambda letter: letter.context.time_ms)[-each:] if each else ():
        context = letter.context
        console.print(
            f"{letter.place:>9}  {_time(context.time_ms)}  {context.code:<17} {_source(letter)}: "
            f"{letters.masked(context.reason)}",
            markup=False,
            highlight=False,
        )
    console.print(f"{len(found):,} letters on {DEAD_LETTERS.name}")
    by_code = Counter(letter.context.code for letter in found)
    write_json(
        json_file,
        {
            "letters": len(found),
            "by_code": dict(sorted(by_code.items())),
            "by_stage": dict(sorted(Counter(letter.context.stage.value for letter in found).items())),
            "distinct_sources": len({_place(letter) for letter in found if letter.context.source_offset is not None}),
        },
    )


def show_letter(place: str, *, everything: bool) -> None:
    """Print one letter: its context, its bytes, the record as far as it can be read, and what is wrong with it now."""
    letter = letters.one(place)
    for name, value in asdict(letter.context).items():
        if value is not None:
            console.print(f"{name:>16}: {letters.masked(value)}", markup=False, highlight=False)
    key = letters.masked((letter.key or b"").decode("utf-8", "replace"))
    console.print(
        f"{'key':>16}: {key}\n{'value':>16}: {len(letter.value or b''):,} bytes", markup=False, highlight=False
    )
    value = letter.value or b""
    for line in letters.hexdump(value if everything else value[:DUMPED]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(value) > DUMPED and not everything:
        console.print(f"... {len(value) - DUMPED:,} bytes more; --all shows them")
    record, verdict = letters.decoded(letter)
    for name, cell in (record or {}).items():
        text = letters.masked(cell)
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        console.print(f"{name:>22} = {shown}", markup=False, highlight=False)
    console.print(f"checked now: {letters.masked(verdict)}", markup=False)


def replay_letters(choice: Choice, *, dry_run: bool) -> int:
    """Send letters again to where they came from; returns how many were sent.

    Bronze's letters go with key and bytes untouched, but where the key was wrong: a payment's is its card. A producer's
    letter never was encoded: it is checked and encoded now, and stays where it is if it still breaks a rule. Sending
    twice does no harm: Silver drops repeats.
    """
    found = [letter for letter in letters.find(choice) if letter.context.code != letters.STRANGE]
    if dry_run:
        for code, count in sorted(Counter(letter.context.code for letter in found).items()):
            console.print(f"would send again {code}: {count:,}")
        return 0
    sender = Sender()
    still: Counter[str] = Counter()
    with bar("sending again", len(found)) as progress:
        for letter in found:
            try:
                resend(sender, letter)
            except RejectedError as error:
                still[error.code] += 1
            progress.advance(1)
        counts = sender.close()
    sent = counts.acknowledged.total()
    console.print(f"{sent:,} of {len(found):,} letters sent again, with header {ORIGIN_HEADER}")
    for code, count in sorted(still.items()):
        console.print(f"  still rejected, not sent: {code}: {count:,}")
    return sent


def resend(sender: Sender, letter: Letter) -> None:
    """Send one letter to its source topic; RejectedError if it is a producer's and still breaks a rule."""
    origin = [(ORIGIN_HEADER, f"{DEAD_LETTERS.name}/{letter.place}".encode())]
    known = {topic.name: topic for topic in TOPICS}
    topic = known.get(letter.context.source_topic or "", TRANSACTIONS)
    if letter.context.stage is not Stage.PRODUCER:
        key = letter.key
        if letter.context.code in MISPLACED:
            key = letters.record_of(letter, "transaction")["card_id"].encode()
        sender.raw(topic.name, key, letter.value, origin)
        return
    name = topic.schema or "transaction"
    record = accept(letters.record_of(letter, name), name, int(datetime.now(UTC).timestamp() * 1e6))
    sender.raw(topic.name, letter.key, wire.encode(record, schemas.parsed(name), sender.ids[topic.name]), origin)


def _grouped(found: Iterable[Letter]) -> dict[tuple[str, str, str], list[Letter]]:
    groups: dict[tuple[str, str, str], list[Letter]] = {}
    for letter in found:
        context = letter.context
        source = context.file or context.source_topic or "?"
        groups.setdefault((context.stage.value, context.code, source), []).append(letter)
    return groups


def _source(letter: Letter) -> str:
    context = letter.context
    return f"{context.file} row {context.row}" if context.file else _place(letter)


def _place(letter: Letter) -> str:
    context = letter.context
    return f"{context.source_topic}/{context.source_partition}/{context.source_offset}"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
