"""The servers' programs: which, from where, and how they come into the cache, checked."""
