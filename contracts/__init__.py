"""Avro schemas, the validation function, wire framing and dead letters: what every stage means by a record."""
