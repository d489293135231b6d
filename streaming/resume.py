"""What Bronze already has when a driver starts: the newest batch, and the offsets that it has reached."""

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as f

from streaming.batches import Landed
from streaming.columns import PARTITION
from streaming.places import TABLES, Places, spark_path


def landed(spark: SparkSession, places: Places) -> Landed:
    """Return the newest batch of both tables; only their newest partition is read."""
    found = [row for name in TABLES if (row := _newest(spark, places, name))]
    return max((Landed(row.us, row.batch_id) for row in found), key=lambda batch: batch.ingested_us, default=Landed())


def reached(spark: SparkSession, places: Places) -> dict[str, dict[int, int]]:
    """Return, for each topic and partition, the offset after the last one in Bronze."""
    ends: dict[str, dict[int, int]] = {topic: {} for topic in places.topics}
    for topic, table in places.topics.items():
        rows = spark.read.format("delta").load(spark_path(places.table(table))).where(f.col("source_topic") == topic)
        for row in rows.groupBy("source_partition").agg((f.max("source_offset") + 1).alias("next")).collect():
            ends[topic][row.source_partition] = row.next
    return ends


def _newest(spark: SparkSession, places: Places, table: str) -> Row | None:
    rows = spark.read.format("delta").load(spark_path(places.table(table)))
    day = rows.agg(f.max(PARTITION)).first()[0]
    if day is None:
        return None
    newest = rows.where(f.col(PARTITION) == day).select(f.unix_micros("ingested_at").alias("us"), "batch_id")
    return newest.orderBy(f.desc("us")).first()
