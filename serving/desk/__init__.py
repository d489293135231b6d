"""The case desk: decisions kept in PostgreSQL and joined to alerts, the API over them, verdicts, and the console."""
