"""Half a million payments that come as badly as they can: the incremental path and a full refresh tell the same."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bench.lake import history
from contracts.arrow import record_schema
from lake import reading, tables
from settings import definitions
from tests.integration import dbt_copy

pytestmark = pytest.mark.timeout(3_600)
COUNT = 500_000
HOLE = range(100, 103)
"""Days that the source sends weeks later, whole."""
NEW = 176
"""From this day on payments come with the second run."""
REISSUED = "card 7"
"""A card that gets a new number for its last ten days, on the same account."""
RUN = {"loaded_at", "profile_version", "updated_at"}
"""What says when a row was written, not what it says."""
SILVER = (
    tables.TRANSACTIONS,
    tables.TRANSACTION_REPEATS,
    tables.TRANSACTION_CONFLICTS,
    tables.CARDS,
    tables.LABEL_EVENTS,
    tables.DECISIONS,
)
DAY = timedelta(days=1)
Say = Callable[[str], None]
Pairs = set[tuple[str, date]]


@dataclass
class Half:
    """The copy, its Bronze, and all payments in the order of their times."""

    copy: dbt_copy.Copy
    bronze: history.Bronze
    paid: pa.Table


@pytest.fixture(scope="module")
def half(stack: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Half]:
    """What has arrived in time is built whole, in parts; then all that was late arrives, and is built upon it."""
    copy = dbt_copy.Copy("scale_test", Path(tmp_path_factory.mktemp("dbt")))
    try:
        bronze = history.Bronze()
        paid = reissued(history.payments(0, COUNT))
        # Three days are missing for weeks, each 997th payment is late, and the last days are yet to come.
        days = [number // history.PER_DAY for number in range(COUNT)]
        late = pa.array([d in HOLE or d >= NEW or n % 997 == 0 for n, d in enumerate(days)])
        intime = paid.filter(pc.invert(late))
        bronze.arrive(intime, history.labels(intime.slice(0, 400_000), 0.01))
        copy.register()
        copy.dbt("seed")
        copy.dbt("run", "--full-refresh")
        again = intime.slice(200_000, 1_000)
        other = intime.slice(300_000, 500)
        amount = other.schema.get_field_index("amount_minor")
        conflicts = other.set_column(amount, "amount_minor", pc.add(other["amount_minor"], 1))
        bronze.arrive(paid.filter(late), history.labels(paid, 0.02))
        bronze.arrive(pa.concat_tables([again, conflicts]), None)
        copy.dbt("run")
        yield Half(copy, bronze, paid)
    finally:
        copy.drop()
        history.delete_bronze(copy.prefix)


def reissued(paid: pa.Table) -> pa.Table:
    """Give one card a new number for its last ten days; the account stays."""
    last = pc.max(paid["event_time"]).as_py() - 10 * DAY
    old = pc.and_(pc.equal(paid["card_id"], sha(REISSUED)), pc.greater(paid["event_time"], last))
    assert pc.sum(old).as_py()
    cards = pc.if_else(old, sha("card 7, issued again"), paid["card_id"])
    return paid.set_column(paid.schema.get_field_index("card_id"), "card_id", cards)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print a line that is seen although the test passes."""

    def print_it(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}", end="")

    return print_it


def version(table: tables.Table) -> int:
    return reading.open_table(table).version()


def changed(table: tables.Table, entity: str, day: str, before: int) -> Pairs:
    """Return the (entity, day) pairs whose row says something new since version `before`; only they were written."""
    old = reading.read(reading.open_table(table, before), ["row_hash"])
    now = reading.read(table, [entity, day, "row_hash", "updated_at"])
    known = pc.is_in(now["row_hash"], old["row_hash"])
    found = now.filter(pc.invert(known))
    if found.num_rows:
        newest = pc.max(now["updated_at"])
        assert now.filter(pc.equal(now["updated_at"], newest)).num_rows == found.num_rows
    return set(zip(found[entity].to_pylist(), found[day].to_pylist(), strict=True))


def days(first: date, last: date) -> list[date]:
    return [first + number * DAY for number in range((last - first).days + 1)]


def test_late_rows_change_the_right_past_days_and_no_others(half: Half, say: Say) -> None:
    """One payment two months late and one verdict four weeks after its payment: exactly the days that they reach."""
    copy, bronze = half.copy, half.bronze
    marts = (
        (tables.CARD_FEATURES, "card_id", "as_of_day"),
        (tables.MERCHANT_RISK, "acceptor_id", "as_of_day"),
        (tables.FRAUD_METRICS, "source", "event_day"),
        (tables.CARD_RISK, "card_id", "event_day"),
        (tables.DECISION_OUTCOMES, "source", "event_day"),
    )
    before = {table: version(table) for table, *_ in marts}
    plain = pc.and_(pc.equal(half.paid["message_type"], "authorization"), pc.equal(half.paid["currency"], "USD"))
    plain = pc.and_(plain, pc.and_(pc.is_valid(half.paid["merchant_id"]), pc.is_null(half.paid["billing_currency"])))
    plain = pc.and_(
        plain,
        pc.invert(
            pc.is_in(
                half.paid["transaction_id"], pa.array([row["transaction_id"] for row in copy.rows(tables.LABEL_EVENTS)])
            )
        ),
    )
    known = half.paid.filter(plain)
    clock = pc.max(half.paid["event_time"]).as_py()
    late = known.filter(pc.greater(known["event_time"], clock - 60 * DAY)).slice(0, 1)
    one = {**late.to_pylist()[0], "transaction_id": "late", "merchant_id": "m0", "mcc": "5411"}
    judged = (
        known.filter(pc.and_(pc.greater(known["event_time"], clock - 70 * DAY), pc.equal(known["mcc"], "7995")))
        .slice(0, 1)
        .to_pylist()[0]
    )
    assert judged["card_id"] != one["card_id"]
    when = judged["event_time"] + 25 * DAY
    verdict = {
        **dict.fromkeys(record_schema("label").names),
        "source": "bank",
        "verdict": "fraud",
        "transaction_id": judged["transaction_id"],
        "known_at": when,
        "origin": "chargeback",
    }
    bronze.arrive(
        pa.Table.from_pylist([one], record_schema("transaction")),
        pa.Table.from_pylist([verdict], record_schema("label")),
    )
    copy.dbt("run")

    delay = definitions().label_delay_days
    day, paid_on, told = one["event_time"].date(), judged["event_time"].date(), when.date()
    found = {table: changed(table, entity, column, before[table]) for table, entity, column in marts}
    assert found[tables.CARD_FEATURES] == {(one["card_id"], d) for d in days(day + DAY, day + 30 * DAY)}
    assert found[tables.FRAUD_METRICS] == {("bank", day), ("bank", paid_on)}
    assert found[tables.DECISION_OUTCOMES] == {("bank", day), ("bank", paid_on)}
    risky = {(row["card_id"], row["event_day"]) for row in copy.rows(tables.CARD_RISK)}
    assert found[tables.CARD_RISK] == {
        pair
        for card, first, last in ((one["card_id"], day, day + 29 * DAY), (judged["card_id"], told, paid_on + 29 * DAY))
        for pair in ((card, d) for d in days(first, last))
        if pair in risky
    }
    profiled = reading.read(tables.MERCHANT_RISK, ["acceptor_id", "as_of_day"])
    there = set(zip(profiled["acceptor_id"].to_pylist(), profiled["as_of_day"].to_pylist(), strict=True))
    # A category's risk moves for all that were paid under it: m0, m10, ... and m2, m12, ..., by their terminals too.
    moved = {
        (f"bank:{letter}{number}", d)
        for ending, first, last in (
            (0, day + (delay + 1) * DAY, day + (delay + 30) * DAY),
            (2, max(paid_on + delay * DAY, told) + DAY, paid_on + (delay + 30) * DAY),
        )
        for letter in "mt"
        for number in range(ending, history.ACCEPTORS, 10)
        for d in days(first, last)
    }
    own = {("bank:m0", d) for d in days(day + DAY, day + delay * DAY)}
    assert moved & there <= found[tables.MERCHANT_RISK] <= (moved | own) & there
    for table, pairs in found.items():
        if pairs:
            past = sorted({d for _, d in pairs})
            say(f"{table}: {len(pairs):,} rows changed, of {len(past)} days, {past[0]} to {past[-1]}")


def test_a_run_without_news_changes_nothing(half: Half) -> None:
    """After all that, a run makes no Delta version of any table."""
    before = half.copy.versions()
    half.copy.dbt("run")
    assert half.copy.versions() == before


def test_a_full_refresh_tells_the_same_cell_by_cell(half: Half, say: Say) -> None:
    """Each row of each table that was built by runs is one of the full refresh, and the other way round."""
    written = (*SILVER, *tables.GOLD)
    before = {table: version(table) for table in written}
    half.copy.dbt("run", "--full-refresh")
    total = 0
    for table in written:
        old, new = reading.open_table(table, before[table]), reading.open_table(table)
        columns = [field.name for field in new.schema().fields if field.name not in RUN]
        ours, theirs = (_plain(reading.read(opened, columns)) for opened in (old, new))
        with duckdb.connect() as database:
            database.register("ours", ours)
            database.register("theirs", theirs)
            lost, more = (
                database.execute(f"select count(*) from (from {one} except all from {other})").fetchall()[0][0]
                for one, other in (("ours", "theirs"), ("theirs", "ours"))
            )
        cells = ours.num_rows * len(columns)
        total += cells
        say(f"{table}: {ours.num_rows:,} rows of {len(columns)} columns, {cells:,} cells; {lost + more} differ")
        assert ours.num_rows == theirs.num_rows
        assert (lost, more) == (0, 0)
    say(f"{total:,} cells in all are equal")
    counts: dict[tables.Table, int] = {t: reading.read(t, ["source"]).num_rows for t in SILVER[:3]}
    assert counts[tables.TRANSACTIONS] == COUNT + 1
    assert counts[tables.TRANSACTION_REPEATS] == 1_000
    assert counts[tables.TRANSACTION_CONFLICTS] == 500


def _plain(rows: pa.Table) -> pa.Table:
    """Return the rows with UTC times without their zone, which DuckDB would want an extension for."""
    kinds: list[Any] = [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in rows.schema
    ]
    return rows.cast(pa.schema(kinds))
