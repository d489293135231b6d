"""The whole stack as child processes of one supervisor, without containers."""
