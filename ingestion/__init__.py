"""How payments and labels get onto Kafka: simulated, replayed from a file, or sent again from dead letters."""
