"""Debian's packages: whether one is offered, and installing some."""

import os
import re
import shutil
import subprocess
from pathlib import Path

LISTS = Path("/var/lib/apt/lists")


def offers(package: str, major: int, minor: int = 0) -> bool:
    """Return whether this system's packages have one of that name, at least `major.minor`.

    Where apt has no lists yet, as in a fresh image, it is taken to have it: the command begins with an update.
    """
    if shutil.which("apt-cache") is None:
        return False
    if not any(LISTS.glob("*_Packages*")):
        return True
    said = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Candidate: (?:\d+:)?[^\d\s]*(\d+)(?:\.(\d+))?", said)
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (major, minor)


def may_install() -> bool:
    """Return whether this process can install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_get(*arguments: str) -> str:
    """Run apt-get and return what failed, in its own words; empty when it did not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}" if done.returncode else ""
