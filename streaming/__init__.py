"""Spark: Kafka to Bronze, exactly once per source offset, in one driver that also compacts what it wrote."""
