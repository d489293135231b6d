"""Bronze's records card by card, each card's in the order of their arrival: what the stream observed, as it did."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from features import DAY_US, NOT_ATTEMPTS
from lake import reading
from lake.point_in_time import ARRIVAL, Snapshot
from lake.tables import BRONZE_TRANSACTIONS
from ml import spread

OBSERVED = ("source", "transaction_id", "event_time", "message_type", "card_id", "amount_minor", "currency",
            "billing_amount_minor", "billing_currency", "latitude", "longitude", "entry_mode", "mcc")  # fmt: skip
"""The transaction's fields that `features.observation` reads."""
PLACE = ("ingested_at", "source_partition", "source_offset")
HISTORY_US = 31 * DAY_US
"""A window forgets after 30 days; what is older than this cannot change it."""
ROUNDED_US = 1_000
"""Silver's times are rounded to milliseconds: a payment in its period may lie this much before it in Bronze."""
MEMORY = "2GB"
"""What sorting may take before it goes to disk."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def by_card(snapshot: Snapshot, start_us: int, end_us: int) -> Iterator[pa.Table]:
    """Yield every record that the windows of payments with event_time in [start_us, end_us) can depend on.

    Columns: OBSERVED (event_time as int64 UTC microseconds) and `scored` (bool): the payment is of the period, no
    refund or reversal, and the first arrival of its (source, transaction_id). A chunk holds whole cards. Records of
    after the period are among them if they came before its last one did: a card's newest event decides what is late.
    """
    bronze = snapshot.tables[BRONZE_TRANSACTIONS]
    period = [("event_time", ">=", _moment(start_us - ROUNDED_US)), ("event_time", "<", _moment(end_us))]
    last = pc.max(reading.read(bronze, ["ingested_at"], period)["ingested_at"])
    if not last.is_valid:
        return
    fields = ", ".join(name for name in OBSERVED if name != "event_time")
    kinds = ", ".join(f"'{kind}'" for kind in sorted(NOT_ATTEMPTS))
    sql = f"""
        with arrived as (select * replace (epoch_us(event_time) as event_time) from records)
        select event_time, {fields},
            event_time >= {int(start_us) - ROUNDED_US} and event_time < {int(end_us)}
            and coalesce(message_type, '') not in ({kinds})
            and row_number() over (partition by source, transaction_id order by {ARRIVAL}) = 1 as scored
        from arrived
        order by card_id, {ARRIVAL}"""  # noqa: S608 - integers and our own names
    try:
        with tempfile.TemporaryDirectory() as folder, duckdb.connect(config=_bounds(folder)) as database:
            database.register("records", _scan(bronze, start_us - HISTORY_US, last))
            yield from _whole_cards(database.sql(sql).to_arrow_reader(spread.CHUNK))
    except (DeltaError, duckdb.Error, OSError) as error:
        raise reading.mapped(error, BRONZE_TRANSACTIONS) from error


def _scan(bronze: DeltaTable, from_us: int, last: pa.Scalar) -> pa.RecordBatchReader:
    """Stream the columns and rows that are wanted, leaving out the files that hold none."""
    wanted = (pc.field("event_time") >= _moment(from_us)) & (pc.field("ingested_at") <= last)
    scanner = bronze.to_pyarrow_dataset().scanner(columns=[*OBSERVED, *PLACE], filter=wanted)
    return scanner.to_reader()


def _whole_cards(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """Cut a stream that is sorted by card where a card ends, about every CHUNK records."""
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]))
        first, last = waiting[0].column("card_id")[0], waiting[-1].column("card_id")[-1]
        if sum(table.num_rows for table in waiting) >= spread.CHUNK and first != last:
            table = pa.concat_tables(waiting).combine_chunks()
            cut = pc.index(table.column("card_id"), last).as_py()
            yield table.slice(0, cut)
            waiting = [table.slice(cut)]
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _bounds(folder: str) -> dict[str, str]:
    return {"memory_limit": MEMORY, "temp_directory": folder}


def _moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)
