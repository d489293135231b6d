"""A user's file: read, mapped and put in order on disk."""
