"""Bronze's records card by card, each card's in the order of their arrival: what the stream observed, as it did."""

import tempfile
from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from epoch import from_us
from features import NOT_ATTEMPTS
from lake import reading
from lake.arrivals import HISTORY_US, PLACE, bounds, scan, whole_cards
from lake.point_in_time import ARRIVAL, Snapshot
from lake.tables import BRONZE_TRANSACTIONS
from ml import parallel

OBSERVED = (
    "source",
    "transaction_id",
    "event_time",
    "message_type",
    "card_id",
    "amount_minor",
    "currency",
    "billing_amount_minor",
    "billing_currency",
    "latitude",
    "longitude",
    "entry_mode",
    "mcc",
)
"""The transaction's fields that `features.observation` reads."""
ROUNDED_US = 1_000
"""Silver's times are rounded to milliseconds: a payment in its period may lie this much before it in Bronze."""


def by_card(snapshot: Snapshot, start_us: int, end_us: int) -> Iterator[pa.Table]:
    """Yield every record that the windows of payments with event_time in [start_us, end_us) can depend on.

    Columns: OBSERVED and `arrived_us` (times as int64 UTC microseconds) and `scored` (bool): the payment is of the
    period, no refund or reversal, and the first arrival of its (source, transaction_id). A chunk holds whole cards.
    Records of after the period are among them if they came before its last one did: a card's newest event decides what
    is late.
    """
    bronze = snapshot.tables[BRONZE_TRANSACTIONS]
    period = [("event_time", ">=", from_us(start_us - ROUNDED_US)), ("event_time", "<", from_us(end_us))]
    last = pc.max(reading.read(bronze, ["ingested_at"], period)["ingested_at"])
    if not last.is_valid:
        return
    fields = ", ".join(name for name in OBSERVED if name != "event_time")
    kinds = ", ".join(f"'{kind}'" for kind in sorted(NOT_ATTEMPTS))
    sql = f"""
        with arrived as (
            select * replace (epoch_us(event_time) as event_time), epoch_us(kafka_timestamp) as arrived_us from records
        )
        select event_time, arrived_us, {fields},
            event_time >= {int(start_us) - ROUNDED_US} and event_time < {int(end_us)}
            and coalesce(message_type, '') not in ({kinds})
            and row_number() over (partition by source, transaction_id order by {ARRIVAL}) = 1 as scored
        from arrived
        order by card_id, {ARRIVAL}"""  # noqa: S608 - integers and our own names
    try:
        with tempfile.TemporaryDirectory() as folder, duckdb.connect(config=bounds(folder)) as database:
            columns = [*OBSERVED, "kafka_timestamp", *PLACE]
            database.register("records", scan(bronze, columns, start_us - HISTORY_US, last))
            yield from whole_cards(database.sql(sql).to_arrow_reader(parallel.CHUNK), parallel.CHUNK)
    except (DeltaError, duckdb.Error, OSError) as error:
        raise reading.mapped(error, BRONZE_TRANSACTIONS) from error
