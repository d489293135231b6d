"""What the machine must have before anything is fetched: JDK 25, Maven, Go, Python, memory, disk; tests, a browser."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import psutil

from errors import LakehouseError
from infra.native.paths import cache_dir, current_home

JAVA = 25
GO = (1, 25)
PYTHON = (3, 11)
MEMORY_GIB = 8
DISK_GIB = 8
NAMESPACE = ("--user", "--map-user=1000", "--map-group=1000", "--")
"""For `unshare`: a user namespace in which root's files belong to user 1000; PostgreSQL does not run as root."""


class PrerequisiteError(LakehouseError):
    """A program that the stack needs is not on this machine."""


@dataclass(frozen=True)
class Check:
    """One line of `make doctor`: what was looked for, what was found, and the command that installs it."""

    name: str
    wanted: str
    found: str
    good: bool
    install: str
    packages: tuple[str, ...] = ()
    """Debian packages that give it, where they are new enough."""
    required: bool = True
    """Whether nothing goes without it."""


def java_home() -> Path:
    """Return the folder of a JDK 25: JAVA_HOME when it is one, else the first in the usual folders.

    Raises PrerequisiteError when there is none.
    """
    for home in _java_candidates():
        if _java_major(home) == JAVA:
            return home
    raise PrerequisiteError(
        f"no JDK {JAVA} found (JAVA_HOME, then the usual folders); `make doctor` says how to install it"
    )


def maven_program() -> str:
    """Return Maven's path; raises PrerequisiteError when it is missing."""
    return _program("mvn", "Maven")


def go_program() -> str:
    """Return Go's path; raises PrerequisiteError when it is missing."""
    return _program("go", "Go", "/usr/local/go/bin")


def browser() -> str | None:
    """Return the path of a Chromium that the console's tests can drive; None when there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def checks(*, fetched: bool, tests: bool = False) -> list[Check]:
    """Look at the machine; every line is a real look, not a guess. With all servers fetched, no client is required.

    A browser is required for `tests` only.
    """
    clients = (
        _check_version("Maven", "mvn", ["--version"], r"Apache Maven (\d+)\.(\d+)", (3, 6), ("maven",)),
        _check_version("Go", "go", ["version"], r"go(\d+)\.(\d+)", GO, ("golang-go",)),
    )
    return [
        _check_java(),
        *[replace(client, required=not fetched) for client in clients],
        Check(
            "Python", f"{PYTHON[0]}.{PYTHON[1]} or newer", sys.version.split()[0], sys.version_info >= PYTHON,
            "apt-get install -y python3 python3-venv", ("python3", "python3-venv"),
        ),
        *([_check_namespace()] if os.geteuid() == 0 else []),
        _check_browser(required=tests),
        _check_memory(),
        _check_disk(),
    ]  # fmt: skip


def install(*, fetched: bool, tests: bool = False) -> str:
    """Install what is lacking and Debian's packages can give, when this process may; returns what was done."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "not installed by itself: that needs root and apt-get"
    if problem := _apt("update"):
        return problem
    # Only now is it known what the packages offer.
    lacking = [check for check in checks(fetched=fetched, tests=tests) if check.required and not check.good]
    packages = [name for check in lacking for name in check.packages]
    if not packages:
        return "nothing of it is in this system's packages"
    problem = _apt("install", "-y", "--no-install-recommends", *packages)
    java_home_cache_clear()
    return problem or f"installed {', '.join(packages)}"


def _apt(*arguments: str) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}" if done.returncode else ""


def java_home_cache_clear() -> None:
    """Forget what was known of JDKs, after one was installed."""
    _java_major.cache_clear()


def _program(name: str, title: str, *folders: str) -> str:
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders) or None)
    if path is None:
        raise PrerequisiteError(f"{title} (`{name}`) is not on the PATH; `make doctor` says how to install it")
    return path


def _java_candidates() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    if program := shutil.which("java"):
        yield Path(program).resolve().parent.parent
    for pattern in ("/usr/lib/jvm/*25*", "/opt/*jdk*25*", "/Library/Java/JavaVirtualMachines/*25*/Contents/Home"):
        yield from sorted(Path("/").glob(pattern.lstrip("/")))
    yield from sorted(Path.home().glob(".sdkman/candidates/java/25*"))


@cache
def _java_major(home: Path) -> int | None:
    program = home / "bin" / "java"
    if not program.is_file():
        return None
    release = home / "release"
    if release.is_file() and (match := re.search(r'JAVA_VERSION="(\d+)', release.read_text())):
        return int(match[1])
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', said)
    return int(match[1]) if match else None


def _check_java() -> Check:
    try:
        found, good = str(java_home()), True
    except PrerequisiteError:
        others = sorted({str(major) for home in _java_candidates() if (major := _java_major(home))})
        found, good = f"only Java {', '.join(others)}" if others else "none", False
    package = _apt_with_version("openjdk-25-jdk-headless", JAVA) or _apt_with_version("temurin-25-jdk", JAVA)
    command = f"apt-get install -y {package}" if package else "install Temurin 25 from adoptium.net, then set JAVA_HOME"
    return Check("JDK", str(JAVA), found, good, command, (package,) if package else ())


def _check_version(
    title: str, name: str, arguments: list[str], pattern: str, wanted: tuple[int, int], packages: tuple[str, ...]
) -> Check:
    label = f"{wanted[0]}.{wanted[1]} or newer"
    offered = all(_apt_with_version(package, wanted[0], wanted[1]) for package in packages)
    if offered:
        command = f"apt-get install -y {' '.join(packages)}"
    else:
        command = f"install {title} {label} from its project's site (this system's packages have none new enough)"
    try:
        program = _program(name, title, "/usr/local/go/bin")
    except PrerequisiteError:
        return Check(title, label, "none", good=False, install=command, packages=packages if offered else ())
    said = subprocess.run([program, *arguments], capture_output=True, text=True, check=False).stdout
    match = re.search(pattern, said)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    found = f"{version[0]}.{version[1]} ({program})"
    return Check(title, label, found, version >= wanted, command, packages if offered else ())


def _apt_with_version(package: str, major: int, minor: int = 0) -> str | None:
    if shutil.which("apt-cache") is None:
        return None
    said = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False).stdout
    match = re.search(r"Candidate: (?:\d+:)?(\d+)(?:\.(\d+))?", said)
    return package if match and (int(match[1]), int(match[2] or 0)) >= (major, minor) else None


def no_namespace() -> str | None:
    """Return why no program can be run in a user namespace of its own; None when one can."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "`unshare` (util-linux) is not on the PATH"
    done = subprocess.run(
        [unshare, *NAMESPACE, "/bin/sh", "-c", "true"], capture_output=True, text=True, check=False
    )
    return done.stderr.strip()[-200:] or f"unshare ended with {done.returncode}" if done.returncode else None


def _check_namespace() -> Check:
    reason = no_namespace()
    advice = "apt-get install -y util-linux, allow user namespaces, or start the stack as another user than root"
    found = reason or "as user 1000"
    return Check("PostgreSQL as root", "a user namespace", found, reason is None, advice, ("util-linux",))


def _check_browser(*, required: bool) -> Check:
    found = browser()
    advice = "apt-get install -y chromium"
    package = ("chromium",) if _apt_with_version("chromium", 100) else ()
    return Check("Chromium", "for tests only", found or "none", found is not None, advice, package, required)


def _check_memory() -> Check:
    free = psutil.virtual_memory().available / 2**30
    advice = "close other programs, or use a larger machine"
    return Check("Memory", f"{MEMORY_GIB} GiB free", f"{free:.1f} GiB", free >= MEMORY_GIB, advice, required=False)


def _check_disk() -> Check:
    places = {_existing(cache_dir()), _existing(current_home().root)}
    free = min(shutil.disk_usage(place).free for place in places) / 2**30
    advice = f"free some space, or set LAKEHOUSE_CACHE and LAKEHOUSE_HOME (now {' and '.join(map(str, places))})"
    return Check("Disk", f"{DISK_GIB} GiB free", f"{free:.1f} GiB", free >= DISK_GIB, advice, required=False)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
