"""Decisions beside what the lake has for each: its payment, what its card paid before, and the profiles due then."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from epoch import from_us
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, DAY_US, HOUR_US
from lake import reading
from lake.arrivals import HISTORY_US, PLACE, bounds, scan, whole_cards
from lake.point_in_time import ARRIVAL, RECORD
from lake.tables import BRONZE_TRANSACTIONS, CARD_FEATURES, MERCHANT_RISK, Table
from settings import definitions

CHUNK = 20_000
FEW = 1_000
"""So many cards are named to the reader, so that it leaves the others' payments out."""
ACCEPTOR = """replace(replace(arrived.source, '%', '%25'), ':', '%3A') || ':'
    || coalesce(nullif(arrived.merchant_id, ''), nullif(arrived.terminal_id, ''))"""
"""`features.acceptor_id` in SQL."""

Tables = Mapping[Table, DeltaTable]


def cases(tables: Tables, decisions: pa.Table, chunk: int = CHUNK) -> Iterator[pa.Table]:
    """Yield the payments of the decisions' cards, each card's in the order of arrival, whole cards in a chunk.

    `decisions` is as `logged.read` has it. Columns: RECORD (event_time as int64 UTC us), kafka_us; where a
    decision was made `number` (its row in `decisions`), logged (the vector), groups and decided_at; and from Gold's
    rows of the day due (`features.profile_day`) card_day, card_version and CARD_COLUMNS, and the same for the acceptor.
    A payment decided twice stands there twice. A decision whose payment is not in Bronze is left out.
    """
    if not decisions.num_rows:
        return
    bronze = tables[BRONZE_TRANSACTIONS]
    period = pc.min_max(decisions["event_time"]).as_py()
    first, last = period["min"], period["max"]
    landed: reading.Filters = [("event_time", ">=", from_us(first)), ("event_time", "<=", from_us(last))]
    newest = pc.max(reading.read(bronze, ["ingested_at"], landed)["ingested_at"])
    if not newest.is_valid:
        return
    cards = pc.unique(decisions["card_id"]).to_pylist()
    few = cards if len(cards) <= FEW else ()
    decided = decisions.append_column("number", pa.array(range(decisions.num_rows), pa.int64()))
    try:
        with tempfile.TemporaryDirectory() as folder, duckdb.connect(config=bounds(folder)) as database:
            columns = [*RECORD, "kafka_timestamp", *PLACE]
            database.register("records", scan(bronze, columns, first - HISTORY_US, newest, few))
            database.register("decided", decided)
            database.register("cards", _profiles(tables[CARD_FEATURES], "card_id", CARD_COLUMNS, first, last, few))
            database.register(
                "acceptors", _profiles(tables[MERCHANT_RISK], "acceptor_id", ACCEPTOR_COLUMNS, first, last)
            )
            yield from whole_cards(database.sql(_sql()).to_arrow_reader(chunk), chunk)
    except (DeltaError, duckdb.Error, OSError) as error:
        raise reading.mapped(error, BRONZE_TRANSACTIONS) from error


def _profiles(
    table: DeltaTable, entity: str, columns: Sequence[str], first_us: int, last_us: int, few: Sequence[str] = ()
) -> pa.Table:
    days = [from_us(each).date() for each in (first_us - DAY_US, last_us)]
    wanted: reading.Filters = [("as_of_day", ">=", days[0]), ("as_of_day", "<=", days[1])]
    if few:
        wanted.append((entity, "in", list(few)))
    return reading.read(table, [entity, "as_of_day", "profile_version", *columns], wanted)


def _sql() -> str:
    lag_us = definitions().publish_delay_hours * HOUR_US
    record = ", ".join(f"p.{name}" for name in RECORD)
    card, acceptor = (
        ", ".join(f"{at}.{name}" for name in names) for at, names in (("c", CARD_COLUMNS), ("a", ACCEPTOR_COLUMNS))
    )
    return f"""
        with arrived as (
            select * replace (epoch_us(event_time) as event_time), epoch_us(kafka_timestamp) as kafka_us
            from records where card_id in (select card_id from decided)
        ), placed as (
            select arrived.*, decided.number, decided.vector as logged, decided.groups, decided.decided_at,
                if(decided.number is not null, arrived.card_id, null) as card_due,
                if(decided.number is not null, {ACCEPTOR}, null) as acceptor_due,
                date '1970-01-01' + cast((arrived.event_time - {lag_us}) // {DAY_US} as integer) as day_due
            from arrived left join decided on arrived.source_partition = decided.payment_partition
                and arrived.source_offset = decided.payment_offset and arrived.card_id = decided.card_id
                and arrived.source = decided.source and arrived.transaction_id = decided.transaction_id
        )
        select {record}, p.kafka_us, p.number, p.logged, p.groups, p.decided_at,
            cast(c.as_of_day - date '1970-01-01' as integer) as card_day, c.profile_version as card_version, {card},
            cast(a.as_of_day - date '1970-01-01' as integer) as acceptor_day, a.profile_version as acceptor_version,
            {acceptor}
        from placed as p
        left join cards as c on c.card_id = p.card_due and c.as_of_day = p.day_due
        left join acceptors as a on a.acceptor_id = p.acceptor_due and a.as_of_day = p.day_due
        order by p.card_id, {ARRIVAL}, p.number"""  # noqa: S608 - integers and our own names
