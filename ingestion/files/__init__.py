"""A user's file: read, mapped, judged and put in order on disk."""
