"""A Bronze of any size in schemas of its own: years of payments with labels and decisions, each a function of a number.

DuckDB makes them and delta-rs writes them with Spark's key, as one driver would: growing offsets and ingestion times.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
from deltalake import write_deltalake

from clients import delta, s3
from contracts.arrow import TIMESTAMP, bronze_schema, record_schema
from contracts.topics import DECISIONS, LABELS, TRANSACTIONS, Topic
from lake.tables import BRONZE_DECISIONS, BRONZE_LABELS, BRONZE_TRANSACTIONS, SCRATCH, Table

PER_DAY = 2_750
"""Payments of a day: a million in a year."""
CARDS = 2_000
ACCEPTORS = 700
AT_ONCE = 500_000
"""Rows of one batch."""
PLACES: dict[str, tuple[Table, Topic]] = {
    "transaction": (BRONZE_TRANSACTIONS, TRANSACTIONS),
    "label": (BRONZE_LABELS, LABELS),
    "decision": (BRONZE_DECISIONS, DECISIONS),
}
PAYMENTS = """
select
    'bank' as source,
    $name || n as transaction_id,
    timestamp '2022-01-01 00:00:00' + to_microseconds(n * 86400000000 // $per_day) as event_time,
    [null, 0, 60, -300][1 + draw(n, 1, 4)] as utc_offset_min,
    ['refund', 'verification', 'advice', 'authorization'][least(1 + draw(n, 2, 40), 4)] as message_type,
    sha256('card ' || draw(n, 3, $cards)) as card_id,
    sha256('account ' || draw(n, 3, $cards)) as account_id,
    100 + draw(n, 4, 20000) as amount_minor,
    ['EUR', 'JPY', 'SEK', 'USD'][least(1 + draw(n, 5, 10), 4)] as currency,
    if(draw(n, 6, 12) = 0, 100 + draw(n, 4, 9000), null) as billing_amount_minor,
    if(draw(n, 6, 12) = 0, 'USD', null) as billing_currency,
    if(draw(n, 7, 20) = 0, null, 'm' || draw(n, 8, $acceptors)) as merchant_id,
    't' || draw(n, 8, $acceptors) as terminal_id,
    ['5411', '5812', '7995', '6011', '5999', '4829', '5732', '4111', '5541', '5912'][1 + draw(n, 8, $acceptors) % 10]
        as mcc,
    ['US', 'US', 'CA', 'BR'][1 + draw(n, 9, 4)] as merchant_country,
    'US' as card_country,
    ['chip', 'ecommerce', 'contactless', null][1 + draw(n, 10, 4)] as entry_mode
from range($first, $first + $count) as numbers (n)
"""
LABELS_OF = """
select
    source, transaction_id, if(draw(transaction_id, $share, 5) = 0, 'genuine', 'fraud') as verdict,
    event_time + to_microseconds(draw(transaction_id, 0, 40 * 86400000000)) as known_at,
    ['file', 'chargeback', 'analyst'][1 + draw(transaction_id, 1, 3)] as origin
from paid
where draw(transaction_id, 2, 1000000) < $share * 1000000
"""
DECISIONS_ON = """
select
    source, transaction_id, card_id, event_time, source_partition as payment_partition,
    source_offset as payment_offset, event_time + interval 5 milliseconds as decided_at,
    ['review', 'step_up', 'block', 'approve'][least(1 + draw(transaction_id, 3, 30), 4)] as decision,
    ['rule', 'fallback', 'control', 'model'][least(1 + draw(transaction_id, 4, 20), 4)] as decided_by,
    draw(transaction_id, 5, 1000) / 1000.0 as score, 0.5::double as threshold,
    '{"card":{"status":"fresh"}}' as groups, '[]' as reasons, ''::blob as vector,
    '{"card_days_since_first_seen":' || (1 + draw(card_id, 0, 400)) || '}' as features, 'bench' as schema_hash
from landed
"""


def payments(
    first: int, count: int, *, name: str = "p", per_day: int = PER_DAY, cards: int = CARDS, acceptors: int = ACCEPTORS
) -> pa.Table:
    """Return payments number `first` and on, in the order of their times; `name` begins their ids."""
    given = {"first": first, "count": count, "name": name, "per_day": per_day, "cards": cards, "acceptors": acceptors}
    return _made(PAYMENTS, "transaction", given)


def labels(paid: pa.Table, share: float = 0.01) -> pa.Table:
    """Return label events on a share of payments, known up to 40 days after them, four of five a fraud."""
    return _made(LABELS_OF, "label", {"share": share}, paid=paid)


def _made(sql: str, name: str, given: dict[str, object], **tables: pa.Table) -> pa.Table:
    """Return what a query gives as records of schema `name`; columns that it does not have are null."""
    with duckdb.connect() as database:
        database.execute("create macro draw(what, salt, sides) as (hash(what, salt) % sides)::bigint")
        for table, rows in tables.items():
            database.register(table, _without_zone(rows))
        rows = database.sql(sql, params=given).to_arrow_table()
    return _as(rows, record_schema(name))


def _without_zone(rows: pa.Table) -> pa.Table:
    """Return UTC times without their zone: with one, DuckDB wants an extension that would have to be downloaded."""
    plain = [each.with_type(pa.timestamp("us")) if each.type == TIMESTAMP else each for each in rows.schema]
    return rows.cast(pa.schema(plain))


def _as(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows[each.name].cast(each.type) if each.name in rows.column_names else pa.nulls(rows.num_rows, each.type)
        for each in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


@dataclass
class Bronze:
    """The three Bronze tables of the schemas of DBT_SCHEMA_PREFIX: what arrives stands behind what arrived before."""

    arrived: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))
    batch: int = 0

    def arrive(self, paid: pa.Table | None = None, known: pa.Table | None = None, *, decided: bool = True) -> None:
        """Append payments and label events, and with `decided` a decision on each of the payments."""
        if paid is not None:
            for start in range(0, paid.num_rows, AT_ONCE):
                landed = self.append("transaction", paid.slice(start, AT_ONCE))
                if decided:
                    self.append("decision", _made(DECISIONS_ON, "decision", {}, landed=landed))
        if known:
            self.append("label", known)

    def append(self, name: str, records: pa.Table) -> pa.Table:
        """Append records of schema `name` as one batch and return its rows."""
        table, topic = PLACES[name]
        moment, count = datetime.now(UTC), records.num_rows
        places = range(self.arrived[name], self.arrived[name] + count)
        rows = records
        for column, values in {
            "source_partition": [place % topic.partitions for place in places],
            "source_offset": [place // topic.partitions for place in places],
            "kafka_timestamp": pa.repeat(moment, count),
            "schema_id": pa.repeat(1, count),
            "source_topic": pa.repeat(topic.name, count),
            "batch_id": pa.repeat(self.batch, count),
            "ingested_at": pa.repeat(moment, count),
            "ingested_date": pa.repeat(moment.date(), count),
        }.items():
            rows = rows.append_column(column, values if isinstance(values, pa.Array) else pa.array(values))
        rows = _as(rows, bronze_schema(name))
        self.arrived[name] += count
        self.batch += 1
        options = delta.options("spark")
        write_deltalake(table.path, rows, mode="append", partition_by=["ingested_date"], storage_options=options)
        return rows


def delete_bronze(prefix: str) -> None:
    """Delete the files of that prefix's Bronze; those of its Silver and Gold are Trino's to drop."""
    for key in list(s3.keys(f"bronze/{SCRATCH}/{prefix}bronze/", "spark")):
        s3.delete(key, "spark")
