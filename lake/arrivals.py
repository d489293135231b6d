"""Bronze's payments card by card in the order of their arrival: what every replay of windows reads."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from clients import delta
from epoch import from_us
from features import DAY_US

PLACE = ("ingested_at", "source_partition", "source_offset")
HISTORY_US = 31 * DAY_US
"""A window forgets after 30 days; what is older than this cannot change it."""
MEMORY = "2GB"
"""What sorting may take before it goes to disk."""


def scan(
    bronze: DeltaTable, columns: Sequence[str], begin_us: int, last: pa.Scalar, cards: Sequence[str] = ()
) -> pa.RecordBatchReader:
    """Stream what can matter to windows from `begin_us` (UTC us) to the ingestion `last`; of `cards` alone if given.

    Files that hold none of it are left out.
    """
    wanted = (pc.field("event_time") >= from_us(begin_us)) & (pc.field("ingested_at") <= last)
    if cards:
        wanted &= pc.field("card_id").isin(list(cards))
    return delta.dataset(bronze).scanner(columns=list(columns), filter=wanted).to_reader()


def whole_cards(batches: pa.RecordBatchReader, size: int) -> Iterator[pa.Table]:
    """Cut a stream that is sorted by card where a card ends, about every `size` records."""
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(pa.Table.from_batches([batch]))
        first, last = waiting[0].column("card_id")[0], waiting[-1].column("card_id")[-1]
        if sum(table.num_rows for table in waiting) >= size and first != last:
            table = pa.concat_tables(waiting).combine_chunks()
            cut = pc.index(table.column("card_id"), last).as_py()
            yield table.slice(0, cut)
            waiting = [table.slice(cut)]
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def bounds(folder: str) -> dict[str, str | bool | int | float | list[str]]:
    """Return DuckDB's configuration for a sort that may be larger than memory; `folder` takes what does not fit."""
    return {"memory_limit": MEMORY, "temp_directory": folder}
