"""The stream door: payments from Kafka, decided and observed in their cards' windows."""
