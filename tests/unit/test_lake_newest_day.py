"""The newest day of a table, found from its log and few of its files."""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from lake import reading

BEGIN = date(2024, 1, 1)
SCHEMA = pa.schema([("day", pa.date32()), ("n", pa.int64())])
FILES = st.lists(st.lists(st.none() | st.integers(0, 60), min_size=1, max_size=6), max_size=5)


def rows(numbers: list[int | None]) -> pa.Table:
    """Return rows of these days, counted from BEGIN; None has no day."""
    days = [None if n is None else BEGIN + timedelta(days=n) for n in numbers]
    return pa.table({"day": days, "n": range(len(days))}, schema=SCHEMA)


def written(place: str, files: list[list[int | None]], partition_by: list[str] | None = None) -> DeltaTable:
    """Return a table of one file each."""
    opened = DeltaTable.create(place, SCHEMA, partition_by=partition_by)
    for numbers in files:
        write_deltalake(opened, rows(numbers), mode="append")
    opened.update_incremental()
    return opened


@settings(max_examples=25, deadline=None)
@given(files=FILES, until=st.none() | st.integers(-1, 61))
def test_it_is_the_greatest_of_all_rows(files: list[list[int | None]], until: int | None) -> None:
    """Whatever the files hold, with and without a bound, it is what a look at each row would find."""
    bound = None if until is None else BEGIN + timedelta(days=until)
    found = [BEGIN + timedelta(days=n) for file in files for n in file if n is not None]
    expected = max((day for day in found if bound is None or day <= bound), default=None)
    with TemporaryDirectory() as place:
        assert reading.newest_day(written(place, files), "day", bound) == expected


@pytest.mark.parametrize("partition_by", [None, ["day"]])
def test_files_of_earlier_days_are_not_read(tmp_path: Path, partition_by: list[str] | None) -> None:
    """A file whose days all come before another's first is not opened; so it is in a table with partitions, too."""
    opened = written(str(tmp_path), [[1], [40]], partition_by)
    earlier = min(tmp_path.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    earlier.unlink()
    assert reading.newest_day(opened, "day") == BEGIN + timedelta(days=40)
