"""Bronze tables that were made under an older contract."""

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from streaming.columns import PARTITION, bronze_schema
from streaming.tables import add_missing


def test_a_table_of_an_older_contract_gets_its_new_columns(tmp_path):
    """Columns that came since are added, null in older rows; the protocol stays the oldest; again does nothing."""
    wanted = bronze_schema("decisions")
    older = pa.schema([field for field in wanted if field.name != "rules"])
    row = dict.fromkeys(older.names) | {"source": "old"}
    write_deltalake(tmp_path, pa.Table.from_pylist([row], older), partition_by=[PARTITION])
    add_missing(DeltaTable(tmp_path), wanted)
    again = DeltaTable(tmp_path)
    version = again.version()
    add_missing(again, wanted)
    newest = DeltaTable(tmp_path)
    assert newest.version() == version
    assert {field.name for field in newest.schema().fields} == set(wanted.names)
    assert newest.to_pyarrow_table(columns=["source", "rules"]).to_pylist() == [{"source": "old", "rules": None}]
    assert (newest.protocol().min_reader_version, newest.protocol().min_writer_version) == (1, 2)
