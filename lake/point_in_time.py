"""Payments with the profiles that were published when each happened, and the labels that were known at a time.

Everything is read from Delta at versions pinned once (`pin`), by delta-rs and DuckDB; Trino need not run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from epoch import from_us, to_us
from errors import InputError
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, DAY_US, HOUR_US
from lake import reading
from lake.tables import BRONZE_TRANSACTIONS, CARD_FEATURES, LABEL_EVENTS, MERCHANT_RISK, TRANSACTIONS, Table
from settings import definitions

CHUNK_DAYS = 30
RECORD = (
    "source",
    "transaction_id",
    "event_time",
    "utc_offset_min",
    "message_type",
    "card_id",
    "account_id",
    "amount_minor",
    "currency",
    "billing_amount_minor",
    "billing_currency",
    "merchant_id",
    "terminal_id",
    "mcc",
    "merchant_country",
    "card_country",
    "latitude",
    "longitude",
    "entry_mode",
    "authentication",
    "device_id",
)
"""The transaction's Avro fields, as `features.build` reads them."""
DERIVED = ("acceptor_id", "event_day")
ORIGIN_ORDER = "case origin when 'analyst' then 2 when 'file' then 0 else 1 end"
"""At equal known_at an analyst beats a file; the same order stands in dbt's macro verdict_order."""
ARRIVAL = "ingested_at, source_partition, source_offset"
"""The order in which records came: partition and offset, across a topic that was made anew as well."""


@dataclass(frozen=True)
class Snapshot:
    """The tables of one training set, each at one version."""

    tables: dict[Table, DeltaTable]

    def versions(self) -> dict[str, int]:
        """Return table name (silver.transactions) to the Delta version that every read uses."""
        return {str(table): opened.version() for table, opened in self.tables.items()}


@dataclass(frozen=True)
class Span:
    """What the lake covers: event days, newest profile days, and the last moment a label became known (UTC us)."""

    first_event_day: date
    last_event_day: date
    last_event_time: int
    card_day: date | None
    acceptor_day: date | None
    last_known_at: int | None


def pin() -> Snapshot:
    """Open the tables of a training set at their newest versions; InputError when one is missing.

    Bronze comes last: every payment of Silver is then in it.
    """
    wanted = (TRANSACTIONS, LABEL_EVENTS, CARD_FEATURES, MERCHANT_RISK, BRONZE_TRANSACTIONS)
    return Snapshot({table: reading.open_table(table) for table in wanted})


def span(snapshot: Snapshot) -> Span:
    """Return what the pinned tables cover; InputError when there are no payments."""

    def extremes(table: Table, column: str) -> tuple[object, ...]:
        rows = reading.read(snapshot.tables[table], [column])
        found = pc.min_max(rows[column])
        return found["min"].as_py(), found["max"].as_py()

    first, last = extremes(TRANSACTIONS, "event_time")
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise InputError("silver.transactions is empty: run `dbt build` after payments have reached Bronze")
    _, known = extremes(LABEL_EVENTS, "known_at")
    _, card_day = extremes(CARD_FEATURES, "as_of_day")
    _, acceptor_day = extremes(MERCHANT_RISK, "as_of_day")
    return Span(
        first.astimezone(UTC).date(),
        last.astimezone(UTC).date(),
        to_us(last),
        card_day if isinstance(card_day, date) else None,
        acceptor_day if isinstance(acceptor_day, date) else None,
        to_us(known) if isinstance(known, datetime) else None,
    )


def payments(snapshot: Snapshot, start_us: int, end_us: int) -> Iterator[pa.Table]:
    """Yield the payments with event_time in [start_us, end_us), chunk by chunk, sorted by event_time, source, id.

    Columns: RECORD (event_time as int64 UTC microseconds), acceptor_id, event_day (date32), and from the profile rows
    of exactly `features.profile_day(event_time)` CARD_COLUMNS and ACCEPTOR_COLUMNS (double, null where the row has
    null), card_as_of_day and acceptor_as_of_day (int32 days since 1970; null: there is no row on that day, the
    entity is new or dormant), card_profile_version and acceptor_profile_version (int64). Every message type is there.
    A chunk covers CHUNK_DAYS days, which bounds memory.
    """
    day, last = _day(start_us), _day(end_us - 1)
    while day <= last:
        until = min(day + timedelta(days=CHUNK_DAYS - 1), last)
        yield _chunk(snapshot, day, until, start_us, end_us)
        day = until + timedelta(days=1)


def verdicts(snapshot: Snapshot, as_of_us: int | None = None) -> pa.Table:
    """Return each labelled payment's verdict as known before `as_of_us` (None: now).

    Columns: source, transaction_id, verdict (fraud, genuine), known_at (int64 UTC microseconds), origin. One row a
    payment: the latest known_at < as_of_us; at equal time an analyst beats a file, then the later arrival wins.
    """
    events = reading.read(snapshot.tables[LABEL_EVENTS])
    before = "" if as_of_us is None else f"where epoch_us(known_at) < {int(as_of_us)}"
    sql = f"""
        select source, transaction_id, verdict, epoch_us(known_at) as known_at, origin
        from events {before}
        qualify row_number() over (
            partition by source, transaction_id
            order by known_at desc, {ORIGIN_ORDER} desc, ingested_at desc, source_partition desc, source_offset desc
        ) = 1
        order by source, transaction_id"""  # noqa: S608 - an integer and our own constants
    return _ask(sql, events=events)


def training_set(snapshot: Snapshot, start_us: int, end_us: int, as_of_us: int) -> Iterator[pa.Table]:
    """Yield `payments` with each label as it was known before `as_of_us`, in the same chunks and order.

    Added columns: label_status (fraud, genuine_confirmed, presumed_genuine, open), is_fraud (bool), mature (bool: the
    payment is older than maturity_days at `as_of_us`, or its verdict is known), known_at (int64 or null).
    """
    known = verdicts(snapshot, as_of_us)
    mature_before = as_of_us - definitions().maturity_days * DAY_US
    for chunk in payments(snapshot, start_us, end_us):
        sql = f"""
            select chunk.*, coalesce(known.verdict = 'fraud', false) as is_fraud, known.known_at,
                known.verdict is not null or event_time < {mature_before} as mature,
                case when known.verdict = 'fraud' then 'fraud' when known.verdict = 'genuine' then 'genuine_confirmed'
                    when event_time < {mature_before} then 'presumed_genuine' else 'open' end as label_status
            from chunk left join known using (source, transaction_id)
            order by event_time, source, transaction_id"""  # noqa: S608 - integers
        yield _ask(sql, chunk=chunk, known=known)


def _chunk(snapshot: Snapshot, day: date, until: date, start_us: int, end_us: int) -> pa.Table:
    days = [("event_day", ">=", day), ("event_day", "<=", until)]
    found = reading.read(snapshot.tables[TRANSACTIONS], [*RECORD, *DERIVED], days)
    lag_us = definitions().publish_delay_hours * HOUR_US
    profiles = [("as_of_day", ">=", day - timedelta(days=1)), ("as_of_day", "<=", until)]
    tail = ("as_of_day", "profile_version")
    cards = reading.read(snapshot.tables[CARD_FEATURES], ["card_id", *CARD_COLUMNS, *tail], profiles)
    acceptors = reading.read(snapshot.tables[MERCHANT_RISK], ["acceptor_id", *ACCEPTOR_COLUMNS, *tail], profiles)
    names = ", ".join(f"p.{name}" for name in (*RECORD, *DERIVED) if name != "event_time")
    sql = f"""
        with p as (
            select * replace (epoch_us(event_time) as event_time),
                (date '1970-01-01' + cast((epoch_us(event_time) - {lag_us}) // {DAY_US} as integer)) as profile_day
            from found where epoch_us(event_time) >= {int(start_us)} and epoch_us(event_time) < {int(end_us)}
        )
        select p.event_time, {names},
            cast(c.as_of_day - date '1970-01-01' as integer) as card_as_of_day,
            c.profile_version as card_profile_version, {", ".join(f"c.{name}" for name in CARD_COLUMNS)},
            cast(a.as_of_day - date '1970-01-01' as integer) as acceptor_as_of_day,
            a.profile_version as acceptor_profile_version, {", ".join(f"a.{name}" for name in ACCEPTOR_COLUMNS)}
        from p
        left join cards as c on c.card_id = p.card_id and c.as_of_day = p.profile_day
        left join acceptors as a on a.acceptor_id = p.acceptor_id and a.as_of_day = p.profile_day
        order by p.event_time, p.source, p.transaction_id"""  # noqa: S608 - integers and our own column names
    return _ask(sql, found=found, cards=cards, acceptors=acceptors)


def _ask(sql: str, **tables: pa.Table) -> pa.Table:
    with duckdb.connect() as database:
        for name, rows in tables.items():
            database.register(name, rows)
        return database.sql(sql).to_arrow_table()


def _day(time_us: int) -> date:
    return from_us(time_us).date()
