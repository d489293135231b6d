"""The two Bronze tables: made once, with the properties that every reader here can take."""

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from streaming.columns import PARTITION, bronze_schema, sql, statistics
from streaming.places import TABLES, Places, spark_path

KEPT = "interval 30 days"
"""Time travel is promised for as long."""
PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.minReaderVersion": "1",
    "delta.minWriterVersion": "2",
    "delta.logRetentionDuration": KEPT,
    "delta.deletedFileRetentionDuration": KEPT,
    # A checkpoint costs a batch half a second; a reader reads at most as many small log files.
    "delta.checkpointInterval": "30",
}


def ensure_tables(spark: SparkSession, places: Places) -> None:
    """Make the tables that are not there yet, empty."""
    for name in TABLES:
        path = spark_path(places.table(name))
        if DeltaTable.isDeltaTable(spark, path):
            continue
        builder = DeltaTable.create(spark).location(path).addColumns(_struct(name)).partitionedBy(PARTITION)
        properties = PROPERTIES | {"delta.dataSkippingStatsColumns": ",".join(statistics(name))}
        for key, value in properties.items():
            builder = builder.property(key, value)
        builder.execute()


def _struct(name: str) -> StructType:
    return StructType.fromDDL(sql(bronze_schema(name)))
