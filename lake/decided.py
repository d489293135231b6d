"""Whether each payment in Bronze was decided, by either door, or set aside by rule."""

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from contracts.arrival import set_aside_sql
from contracts.topics import TRANSACTIONS
from lake import reading, tables

IDS = ("source", "transaction_id")
PAID = [*IDS, "event_time", "kafka_timestamp", "message_type", "source_partition", "source_offset"]
MADE = [*IDS, "payment_partition", "payment_offset"]
"""And `origin`, which decisions of before `/predict` recorded its own do not have."""
API = "api"
"""Origin of a decision that `/predict` made."""


@dataclass(frozen=True)
class Decided:
    """What became of the payments in Bronze: decided, by either door, or set aside, by rule."""

    decided: int
    set_aside: dict[str, int]
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the same for machines."""
        return vars(self) | {"problems": list(self.problems)}


def count() -> Decided:
    """Set every payment in Bronze against its decision and the rules by which none is due.

    The stream decides each arrival by its place on Kafka, where another payment stands when the topic was made anew;
    what `/predict` decided stands for all arrivals of that payment, which the stream observes alone.
    """
    if not reading.exists(tables.BRONZE_TRANSACTIONS):
        return Decided(0, {})
    paid = reading.read(tables.BRONZE_TRANSACTIONS, PAID, [("source_topic", "=", TRANSACTIONS.name)])
    return match(paid, _decisions())


def match(paid: pa.Table, made: pa.Table) -> Decided:
    """Set payments (PAID) against decisions (MADE)."""
    rule = set_aside_sql("epoch_us(event_time)", "epoch_us(kafka_timestamp)", "message_type")
    with duckdb.connect() as database:
        database.register("paid", paid)
        database.register("made", made)
        found = database.execute(f"""
            with places as (select distinct source, transaction_id, payment_partition, payment_offset from made),
            answered as (select distinct source, transaction_id from made where origin = '{API}')
            select coalesce({rule}, '') as rule, count(*),
                count(*) filter (places.payment_offset is not null or answered.source is not null)
            from paid
            left join places on paid.source_partition = places.payment_partition
                and paid.source_offset = places.payment_offset
                and paid.source = places.source and paid.transaction_id = places.transaction_id
            left join answered on paid.source = answered.source and paid.transaction_id = answered.transaction_id
            group by 1 order by 1""").fetchall()  # noqa: S608 - our own names
    counts = {rule: payments for rule, payments, _ in found}
    due, done = next(((payments, ruled) for rule, payments, ruled in found if not rule), (0, 0))
    counts.pop("", None)
    problems = []
    if due > done:
        problems.append(
            f"{due - done:,} payments in {tables.BRONZE_TRANSACTIONS} are neither decided nor set aside by rule: is "
            "the stream scorer running and caught up? see `make status`"
        )
    return Decided(done, counts, tuple(problems))


def _decisions() -> pa.Table:
    """Return where each decision's payment stands, whose it is, and by which door it was decided."""
    if not reading.exists(tables.BRONZE_DECISIONS):
        columns = {name: pa.array([], pa.string()) for name in (*IDS, "origin")}
        places = {name: pa.array([], pa.int64()) for name in ("payment_partition", "payment_offset")}
        return pa.table(columns | places)
    opened = reading.open_table(tables.BRONZE_DECISIONS)
    has_origin = "origin" in {field.name for field in opened.schema().fields}
    found = reading.read(opened, [*MADE, "origin"] if has_origin else MADE)
    return found if has_origin else found.append_column("origin", pa.nulls(found.num_rows, pa.string()))
