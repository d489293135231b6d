"""Whether what was logged when serving is what the lake makes of it."""
