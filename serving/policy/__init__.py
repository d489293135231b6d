"""Rules and lists: the version in force, how it is published, the commands."""
