"""A user's file sent to Kafka in the order of time."""
