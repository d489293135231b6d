"""Superset as code: its server, and the dashboards and roles that the repository says."""
