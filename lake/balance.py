"""The balance that must hold: an offset is one Bronze row or one letter, a Bronze row one of Silver or set aside.

And each payment in Bronze is decided, or set aside by rule. Offsets that no reader is given, a transaction's markers
and what it took back, are nobody's.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from clients import kafka
from contracts.deadletter import Context, Stage
from contracts.topics import DEAD_LETTERS, DECISIONS, LABELS, TRANSACTIONS, Topic
from lake import decided, offsets, reading, tables
from lake.tables import GOLD, Table

OFFSETS = ["source_topic", "source_partition", "source_offset"]
IDS = ["source", "transaction_id"]


@dataclass(frozen=True)
class Arrived:
    """One topic's share: offsets acknowledged by Kafka, rows in Bronze, distinct offsets among dead letters."""

    acknowledged: int
    bronze: int
    dead_letters: int
    problems: tuple[str, ...] = ()
    nobodys: int = 0
    """Offsets of transactions' markers, and of records that a transaction took back."""

    def as_json(self) -> dict[str, Any]:
        """Return the same for machines."""
        return vars(self) | {"problems": list(self.problems)}


@dataclass(frozen=True)
class Balance:
    """Every count from Kafka to Gold, and in words what does not add up."""

    transactions: Arrived
    labels: Arrived
    decisions: Arrived
    decided: decided.Decided
    letters_by_code: dict[str, int]
    producer_letters: int
    silver: int
    repeats: int
    conflicts: int
    gold: dict[str, int]
    problems: tuple[str, ...] = ()

    def lines(self) -> Iterator[tuple[str, int]]:
        """Yield what a person reads: name and count."""
        yield f"acknowledged by Kafka ({TRANSACTIONS.name})", self.transactions.acknowledged
        yield "in Bronze", self.transactions.bronze
        yield "dead letters (distinct offsets)", self.transactions.dead_letters
        yield "nobody's (transaction markers and what was aborted)", self.transactions.nobodys
        yield "payments in Bronze that are decided", self.decided.decided
        for rule, count in self.decided.set_aside.items():
            yield f"  set aside by rule: {rule}", count
        yield "in Silver", self.silver
        yield "repeats dropped", self.repeats
        yield "conflicts set aside", self.conflicts
        yield f"acknowledged by Kafka ({LABELS.name})", self.labels.acknowledged
        yield "label events in Bronze", self.labels.bronze
        yield "dead letters of labels", self.labels.dead_letters
        yield f"acknowledged by Kafka ({DECISIONS.name})", self.decisions.acknowledged
        yield "decisions in Bronze", self.decisions.bronze
        yield "dead letters of decisions", self.decisions.dead_letters
        yield "rejected before Kafka (producer's letters)", self.producer_letters
        for code, count in self.letters_by_code.items():
            yield f"  dead letters: {code}", count
        yield from self.gold.items()

    def as_json(self) -> dict[str, Any]:
        """Return the same for machines."""
        counts = {
            "acknowledged": self.transactions.acknowledged,
            "bronze": self.transactions.bronze,
            "dead_letters": self.transactions.dead_letters,
            "nobodys": self.transactions.nobodys,
            "decided": self.decided.as_json(),
            "letters_by_code": self.letters_by_code,
            "producer_letters": self.producer_letters,
            "silver": self.silver,
            "repeats": self.repeats,
            "conflicts": self.conflicts,
            "gold": self.gold,
            "labels": self.labels.as_json(),
            "decisions": self.decisions.as_json(),
        }
        return counts | {"balances": not self.problems, "problems": list(self.problems)}


@dataclass
class Letters:
    """The dead letters as found: how often each code, which offsets they stand for, how many never reached Kafka."""

    codes: Counter[str] = field(default_factory=Counter)
    origins: set[tuple[str, int, int]] = field(default_factory=set)
    producer: int = 0


def count() -> Balance:
    """Count Kafka, then the tables; right when nothing is under way. Raises the errors of Kafka and the storage."""
    letters = read_letters()
    transactions = arrived(TRANSACTIONS, tables.BRONZE_TRANSACTIONS, letters)
    labels = arrived(LABELS, tables.BRONZE_LABELS, letters)
    decisions = arrived(DECISIONS, tables.BRONZE_DECISIONS, letters)
    silver, repeats, conflicts = (
        rows(table) for table in (tables.TRANSACTIONS, tables.TRANSACTION_REPEATS, tables.TRANSACTION_CONFLICTS)
    )
    payments = decided.count()
    problems = [*transactions.problems, *labels.problems, *decisions.problems, *payments.problems]
    if (missing := transactions.bronze - silver - repeats - conflicts) != 0:
        problems.append(
            f"Bronze has {transactions.bronze:,} payments, Silver with repeats and conflicts "
            f"{transactions.bronze - missing:,}: run dbt, and look at this again"
        )
    if twice := _repeated(tables.TRANSACTIONS, IDS):
        problems.append(f"{twice:,} payments stand more than once in Silver")
    return Balance(
        transactions,
        labels,
        decisions,
        payments,
        dict(sorted(letters.codes.items())),
        letters.producer,
        silver,
        repeats,
        conflicts,
        {str(table): rows(table) for table in GOLD},
        tuple(problems),
    )


def read_letters() -> Letters:
    """Read every dead letter's headers; one that came twice for the same offset counts once."""
    letters = Letters()
    for message in kafka.read_all(DEAD_LETTERS.name):
        context = Context.read(list(message.headers() or []))  # type: ignore[arg-type]  # ours are bytes
        if context.stage is Stage.PRODUCER:
            letters.producer += 1
        else:
            origin = (str(context.source_topic), int(context.source_partition or 0), int(context.source_offset or 0))
            if origin in letters.origins:
                continue
            letters.origins.add(origin)
        letters.codes[context.code] += 1
    return letters


def arrived(topic: Topic, table: Table, letters: Letters) -> Arrived:
    """Set one topic's offsets against its Bronze rows and letters: each offset in exactly one of them."""
    kept = kafka.offsets(topic.name)
    acknowledged = sum(end for _, end in kept.values())
    ours = [(partition, offset) for name, partition, offset in letters.origins if name == topic.name]
    if not reading.exists(table):
        found = pa.table({"source_partition": pa.array([], pa.int32()), "source_offset": pa.array([], pa.int64())})
        bronze = 0
    else:
        found = reading.read(table, OFFSETS, [("source_topic", "=", topic.name)])
        bronze = found.num_rows
    dead = pa.table(
        {
            "source_partition": pa.array([p for p, _ in ours], pa.int32()),
            "source_offset": pa.array([o for _, o in ours], pa.int64()),
        }
    )
    with duckdb.connect() as database:
        database.register("found", found)
        database.register("dead", dead)
        ((distinct, both),) = database.execute("""
            select count(*), count(*) filter (where exists (
                select 1 from dead where dead.source_partition = f.source_partition
                and dead.source_offset = f.source_offset))
            from (select distinct source_partition, source_offset from found) as f""").fetchall()
        missing = acknowledged - distinct - len(dead) + both
        nobodys = offsets.nobodys(topic, kept, offsets.gaps(database, kept)) if 0 < missing <= offsets.FEW else 0
        missing -= nobodys
    problems = []
    if bronze > distinct:
        problems.append(f"{table}: {bronze - distinct:,} rows stand twice for one offset of {topic.name}")
    if both:
        problems.append(f"{both:,} offsets of {topic.name} are both in {table} and among the dead letters")
    if missing > 0:
        problems.append(
            f"{missing:,} offsets of {topic.name} are neither in {table} nor among the dead letters: "
            "is the stream running and caught up? see `make status`"
        )
    elif missing < 0:
        problems.append(
            f"{table} and the dead letters hold {-missing:,} offsets more than {topic.name} ever gave: "
            "has the topic been made anew?"
        )
    return Arrived(acknowledged, bronze, len(dead), tuple(problems), nobodys)


def rows(table: Table) -> int:
    """Return the number of rows of `table` (0 when it is not there), from its log alone where the log says it."""
    if not reading.exists(table):
        return 0
    opened = reading.open_table(table)
    counts = pa.table(opened.get_add_actions(flatten=True)).column("num_records").to_pylist()
    if any(count is None for count in counts):
        return int(reading.read(opened, columns=[opened.schema().fields[0].name]).num_rows)
    return int(sum(counts))


def _repeated(table: Table, key: list[str]) -> int:
    if not reading.exists(table):
        return 0
    found = reading.read(table, key)
    with duckdb.connect() as database:
        database.register("found", found)
        columns = ", ".join(key)
        sql = f"select count(*) - count(distinct ({columns})) from found"  # noqa: S608 - our own column names
        result = database.execute(sql).fetchone()
    return int(result[0]) if result else 0
