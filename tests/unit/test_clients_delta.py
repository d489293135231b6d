"""Rows of a Delta table are read whole, and a command that read them ends well."""

import subprocess
import sys

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from clients import delta
from settings import PROJECT_DIR

FILES = 12
RUNS = 4
COMMAND = """
import sys
from clients import delta
from deltalake import DeltaTable
print(delta.dataset(DeltaTable(sys.argv[1])).to_table(columns=["n"]).num_rows)
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of several files, in folders whose names need quoting."""
    folder = tmp_path_factory.mktemp("lake") / "a table"
    for number in range(FILES):
        rows = pa.table({"n": range(number * 100, number * 100 + 100), "kind": [f"k {number % 3}"] * 100})
        write_deltalake(folder, rows, mode="append", partition_by=["kind"])
    return folder


def test_rows_are_the_tables(table):
    """Those of every file, with the columns that stand in a folder's name alone."""
    found = delta.dataset(DeltaTable(table)).to_table().sort_by("n")
    assert found["n"].to_pylist() == list(range(FILES * 100))
    assert found["kind"].to_pylist() == [f"k {n // 100 % 3}" for n in range(FILES * 100)]


def test_a_command_that_read_a_table_ends_well(table):
    """With the files that delta-rs hands to Arrow each run was aborted at its end with a chance of a half."""
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(table)], cwd=PROJECT_DIR, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, f"{FILES * 100}\n"), done.stderr
