"""The tables that parity reads, pinned; and of decisions without a payment in Bronze, which may still come."""

import duckdb
import pyarrow as pa

from lake import reading
from lake.parity.cases import Tables
from lake.tables import BRONZE_DECISIONS, BRONZE_TRANSACTIONS, CARD_FEATURES, MERCHANT_RISK

ORDER = (BRONZE_DECISIONS, CARD_FEATURES, MERCHANT_RISK, BRONZE_TRANSACTIONS)
"""Bronze's payments come last: nearly every decided one is then in it."""


def pin() -> Tables:
    """Open the tables at their newest versions; InputError when one is missing."""
    return {table: reading.open_table(table) for table in ORDER}


def is_missing(tables: Tables, decisions: pa.Table) -> list[bool]:
    """Return for each decision whether Bronze is past its payment's place, so that the payment will not come."""
    found = reading.read(tables[BRONZE_TRANSACTIONS], ["source_partition", "source_offset"])
    with duckdb.connect() as database:
        database.register("found", found)
        reached = dict(database.execute("select source_partition, max(source_offset) from found group by 1").fetchall())
    places = zip(*(decisions[name].to_pylist() for name in ("payment_partition", "payment_offset")), strict=True)
    return [offset <= reached.get(partition, -1) for partition, offset in places]
