"""Reads a user's CSV or Parquet in batches; card numbers become keyed hashes here, before anything else sees them."""

import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.identity import keyed_hash
from errors import InputError
from ingestion.files.mapping import Mapping

BATCH_ROWS = 65_536
BLOCK_BYTES = 8 << 20
REMEMBERED = 1_000_000
EXACT_IN_FLOAT = float(1 << 53)


@dataclass(frozen=True)
class Batch:
    """Some rows of the file: its mapped columns (of CSV as text, of Parquet as they are) and their row numbers."""

    table: pa.Table
    rows: NDArray[np.int64]
    """1 is the first row after the header."""


@dataclass
class Reader:
    """A file, its mapping, the key for cards; `broken` fills up with rows that are no rows while it is read."""

    path: Path
    mapping: Mapping
    key: bytes
    broken: dict[int, str] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the file's batches in its order; InputError if it cannot be read or lacks a column."""
        names = column_names(self.path, self.mapping)
        if absent := [column for column in self.mapping.columns if column not in names]:
            near = difflib.get_close_matches(absent[0], names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{self.path}: no column {', '.join(map(repr, absent))}.{hint} The file has: {', '.join(names)}"
            )
        first = 1
        try:
            for table in self._tables():
                rows = self._rows(first, table.num_rows)
                if len(rows):
                    first = int(rows[-1]) + 1
                yield Batch(self._hashed(table), rows)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: reading after row {first - 1}: {error}") from error

    def _tables(self) -> Iterator[pa.Table]:
        columns = list(self.mapping.columns)
        if is_parquet(self.path):
            file = pq.ParquetFile(self.path)
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])
            return
        form = self.mapping.csv
        with pa.input_stream(str(self.path), compression="detect") as stream:
            reader = pc_csv.open_csv(
                stream,
                pc_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, encoding=form.encoding),
                pc_csv.ParseOptions(
                    delimiter=form.delimiter, invalid_row_handler=self._broken, newlines_in_values=True
                ),
                pc_csv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=True,
                    null_values=list(form.nulls),
                    quoted_strings_can_be_null=True,
                ),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch])

    def _broken(self, row: pc_csv.InvalidRow) -> str:
        # The row's text is left out: nobody knows which part of it is a card number.
        self.broken[int(row.number) - 1] = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        return "skip"

    def _rows(self, first: int, count: int) -> NDArray[np.int64]:
        """Number rows from `first` on, leaving out the broken ones."""
        numbers = np.arange(first, first + count + len(self.broken), dtype=np.int64)
        if self.broken:
            numbers = numbers[~np.isin(numbers, np.array(list(self.broken)))]
        return numbers[:count]

    def _hashed(self, table: pa.Table) -> pa.Table:
        for name in self.mapping.hashed:
            column = as_text(table.column(name), name)
            codes = pc.dictionary_encode(column).combine_chunks()
            codes = codes.chunk(0) if isinstance(codes, pa.ChunkedArray) else codes
            hashed = pa.array([self._hash(value) for value in codes.dictionary.to_pylist()], pa.string())
            table = table.set_column(table.column_names.index(name), name, hashed.take(codes.indices))
        return table

    def _hash(self, value: str) -> str:
        found = self._hashes.get(value)
        if found is None:
            if len(self._hashes) >= REMEMBERED:
                self._hashes.clear()
            found = self._hashes[value] = keyed_hash(self.key, value)
        return found


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its first bytes; InputError if the file is not there."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def column_names(path: Path, mapping: Mapping) -> list[str]:
    """Return the names of the file's columns."""
    try:
        if is_parquet(path):
            return list(pq.read_schema(path).names)
        with pa.input_stream(str(path), compression="detect") as stream:
            head = stream.read(1 << 20).decode(mapping.csv.encoding, "replace").splitlines()
    except (pa.ArrowException, OSError, LookupError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not head:
        raise InputError(f"{path} is empty: a header line with the names of the columns is expected")
    return next(csv.reader(head, delimiter=mapping.csv.delimiter))


def as_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return any column as text; whole numbers that Parquet holds as floating point lose their `.0`, never digits."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        numbers = pc.if_else(pc.is_nan(column), None, column)
        if pc.any(pc.greater(pc.abs(numbers), EXACT_IN_FLOAT)).as_py():
            raise InputError(
                f"column {name!r} holds floating-point numbers above 2^53: digits are lost; store it as text"
            )
        integral = pc.all(pc.equal(pc.floor(numbers), numbers)).as_py()
        column = numbers.cast(pa.int64()) if integral else numbers
    return column.cast(pa.string())
