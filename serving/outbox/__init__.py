"""Records on their way to Kafka, each with a receipt."""
