"""Where the programs are that the machine must have: the JDK, Maven, Go and a browser; standard library only."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from errors import LakehouseError

JAVA = 25


class PrerequisiteError(LakehouseError):
    """A program that the stack needs is not on this machine."""


def java_home() -> Path:
    """Return the folder of a JDK 25: JAVA_HOME when it is one, else the first in the usual folders.

    Raises PrerequisiteError when there is none.
    """
    for home in java_candidates():
        if java_major(home) == JAVA:
            return home
    raise PrerequisiteError(
        f"no JDK {JAVA} found (JAVA_HOME, then the usual folders); `make doctor` says how to install it"
    )


def maven_program() -> str:
    """Return Maven's path; raises PrerequisiteError when it is missing."""
    return _find("mvn", "Maven")


def go_program() -> str:
    """Return Go's path; raises PrerequisiteError when it is missing."""
    return _find("go", "Go", "/usr/local/go/bin")


def browser() -> str | None:
    """Return the path of a Chromium that the console's tests can drive; None when there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _find(name: str, title: str, *folders: str) -> str:
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders) or None)
    if path is None:
        raise PrerequisiteError(f"{title} (`{name}`) is not on the PATH; `make doctor` says how to install it")
    return path


def java_candidates() -> Iterator[Path]:
    """Yield the folders that may be a JDK's, JAVA_HOME first."""
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    if program := shutil.which("java"):
        yield Path(program).resolve().parent.parent
    for pattern in ("/usr/lib/jvm/*25*", "/opt/*jdk*25*", "/Library/Java/JavaVirtualMachines/*25*/Contents/Home"):
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    yield from sorted(Path.home().glob(".sdkman/candidates/java/25*"))


@cache
def java_major(home: Path) -> int | None:
    """Return the version of the JDK in a folder, 25 say; None when there is none."""
    program = home / "bin" / "java"
    if not program.is_file():
        return None
    release = home / "release"
    if release.is_file() and (match := re.search(r'JAVA_VERSION="(\d+)', release.read_text())):
        return int(match[1])
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', said)
    return int(match[1]) if match else None


def forget_java() -> None:
    """Forget what was known of JDKs, after one was installed."""
    java_major.cache_clear()
