"""From the topic of decisions to PostgreSQL: rows, alerts, what is forgotten."""
