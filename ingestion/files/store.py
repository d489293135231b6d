"""Holds a mapped file on disk while it is put in order, so that memory stays bounded however large the file is."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

MEMORY = "1GB"
OWN = ("row", "problem", "verdict", "known_at")
"""Columns that are about a row; the others are fields of the transaction."""


@dataclass(frozen=True)
class Totals:
    """Counts over the whole file."""

    rows: int
    unmappable: int
    first_us: int | None
    last_us: int | None
    cards: int
    repeated: int
    """Rows that repeat an earlier row's id and content: sent, and dropped in Silver."""
    colliding_ids: int
    colliding_rows: int


class Store:
    """One table `mapped`, filled batch by batch, read back in order."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take an open connection; `opened` gives one."""
        self.connection = connection
        self.columns: list[str] = []

    def add(self, table: pa.Table) -> None:
        """Append a batch; all batches have the same columns."""
        self.connection.register("batch", table)
        if self.columns:
            self.connection.execute("INSERT INTO mapped SELECT * FROM batch")
        else:
            self.columns = table.column_names
            self.connection.execute("CREATE TABLE mapped AS SELECT * FROM batch")
        self.connection.unregister("batch")

    def totals(self) -> Totals:
        """Count rows, cards, repeats and colliding ids (one id, several contents)."""
        content = ", ".join(self._fields())
        row = self._one(
            "SELECT count(*), count(problem), min(event_time), max(event_time), count(DISTINCT card_id) FROM mapped"
        )
        same = self._one(f"""
            WITH ids AS (
                SELECT transaction_id, count(*) AS n, count(DISTINCT hash({content})) AS contents
                FROM mapped WHERE problem IS NULL AND transaction_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1)
            SELECT coalesce(sum(n - contents), 0), count(*) FILTER (contents > 1),
                   coalesce(sum(contents) FILTER (contents > 1), 0) FROM ids""")  # noqa: S608 - our own names
        return Totals(*row, *(int(number) for number in same))

    def collisions(self, limit: int) -> list[tuple[str, int, list[int]]]:
        """Return some colliding ids, each with its number of contents and some of its rows."""
        content = ", ".join(self._fields())
        return self.connection.execute(f"""
            SELECT transaction_id, count(DISTINCT hash({content})), list(row ORDER BY row)[:5] FROM mapped
            WHERE problem IS NULL AND transaction_id IS NOT NULL GROUP BY 1
            HAVING count(DISTINCT hash({content})) > 1 ORDER BY min(row) LIMIT {limit}""").fetchall()  # noqa: S608

    def in_file_order(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield all rows as they stand in the file."""
        return self._batches("SELECT * FROM mapped ORDER BY row", size)

    def by_time(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield rows by event_time (ties as in the file); rows without a time come first."""
        return self._batches("SELECT * EXCLUDE (known_at) FROM mapped ORDER BY event_time NULLS FIRST, row", size)

    def labels(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield transaction_id, verdict, known_at of the labelled rows by known_at."""
        return self._batches(
            """SELECT transaction_id, verdict, known_at FROM mapped
            WHERE verdict IS NOT NULL AND problem IS NULL AND known_at IS NOT NULL ORDER BY known_at, row""",
            size,
        )

    def _fields(self) -> list[str]:
        return [name for name in self.columns if name not in OWN]

    def _one(self, query: str) -> tuple[Any, ...]:
        """Return the one row of an aggregate without groups."""
        (found,) = self.connection.execute(query).fetchall()
        return found

    def _batches(self, query: str, size: int) -> Iterator[pa.RecordBatch]:
        # A cursor of its own: payments and labels are read side by side.
        yield from self.connection.cursor().sql(query).to_arrow_reader(size)


@contextmanager
def opened() -> Iterator[Store]:
    """Open a store in a temporary folder that is removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="lakehouse-replay-") as folder,
        duckdb.connect(str(Path(folder) / "mapped.duckdb")) as connection,
    ):
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{folder}/spill'")
        yield Store(connection)
