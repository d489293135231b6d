"""Audits of the past: what a table said at a time, what changed, who wrote it, and what was known beside it."""
