"""A user namespace for a program that refuses to run as root."""

import shutil
import subprocess

NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000", "--")
"""For `unshare`: a user namespace in which root's files belong to user 1000; PostgreSQL does not run as root."""


def no_namespace() -> str | None:
    """Return why no program can be run in a user namespace of its own; None when one can."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "`unshare` (util-linux) is not on the PATH"
    done = subprocess.run([unshare, *NAMESPACE, "/bin/sh", "-c", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip()[-200:] or f"unshare ended with {done.returncode}" if done.returncode else None
