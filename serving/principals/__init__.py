"""Who calls: API keys with a name, a role, sources and an end; the file they stand in, and who may do what."""
