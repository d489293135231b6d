"""Alerts: what the sink keeps of decisions in PostgreSQL, the API over it, and the console."""
