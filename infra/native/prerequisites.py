"""What the machine must have before anything is fetched: JDK 25, Maven, Go, Python, memory, disk; tests, a browser."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from infra.native import debian, namespace, programs
from infra.native.paths import cache_dir, current_home
from infra.native.programs import JAVA, PrerequisiteError

GO = (1, 25)
PYTHON = (3, 11)
JDKS = ("openjdk-25-jdk-headless", "temurin-25-jdk")
MEMORY_GIB = 8
DISK_GIB = 8


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


def checks(*, fetched: bool, tests: bool = False) -> list[Check]:
    """Look at the machine; every line is a real look, not a guess. With all servers fetched, no client is required.

    A browser is required for `tests` only.
    """
    clients = (
        _check_version("Maven", programs.maven_program, "--version", r"Apache Maven (\d+)\.(\d+)", (3, 6), ("maven",)),
        _check_version("Go", programs.go_program, "version", r"go(\d+)\.(\d+)", GO, ("golang-go",)),
    )
    return [
        _check_java(),
        *[replace(client, required=not fetched) for client in clients],
        Check(
            "Python",
            f"{PYTHON[0]}.{PYTHON[1]} or newer",
            sys.version.split()[0],
            sys.version_info >= PYTHON,
            "apt-get install -y python3 python3-venv",
            ("python3", "python3-venv"),
        ),
        *([_check_namespace()] if os.geteuid() == 0 else []),
        _check_browser(required=tests),
        _check_memory(),
        _check_disk(),
    ]


def install(*, fetched: bool, tests: bool = False) -> str:
    """Install what is lacking and Debian's packages can give, when this process may; returns what was done."""
    if not debian.may_install():
        return "not installed by itself: that needs root and apt-get"
    if problem := debian.apt_get("update"):
        return problem
    # Only now is it known what the packages offer.
    lacking = [check for check in checks(fetched=fetched, tests=tests) if check.required and not check.good]
    packages = [name for check in lacking for name in check.packages]
    if not packages:
        return "nothing of it is in this system's packages"
    problem = debian.apt_get("install", "-y", "--no-install-recommends", *packages)
    programs.forget_java()
    return problem or f"installed {', '.join(packages)}"


def _check_java() -> Check:
    try:
        found, good = str(programs.java_home()), True
    except PrerequisiteError:
        others = sorted({str(major) for home in programs.java_candidates() if (major := programs.java_major(home))})
        found, good = f"only Java {', '.join(others)}" if others else "none", False
    package = next((name for name in JDKS if debian.offers(name, JAVA)), None)
    command = f"apt-get install -y {package}" if package else "install Temurin 25 from adoptium.net, then set JAVA_HOME"
    return Check("JDK", str(JAVA), found, good, command, (package,) if package else ())


def _check_version(
    title: str, find: Callable[[], str], argument: str, pattern: str, wanted: tuple[int, int], packages: tuple[str, ...]
) -> Check:
    label = f"{wanted[0]}.{wanted[1]} or newer"
    offered = all(debian.offers(package, *wanted) for package in packages)
    if offered:
        command = f"apt-get install -y {' '.join(packages)}"
    else:
        command = f"install {title} {label} from its project's site (this system's packages have none new enough)"
    try:
        program = find()
    except PrerequisiteError:
        return Check(title, label, "none", good=False, install=command, packages=packages if offered else ())
    said = subprocess.run([program, argument], capture_output=True, text=True, check=False).stdout
    match = re.search(pattern, said)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    found = f"{version[0]}.{version[1]} ({program})"
    return Check(title, label, found, version >= wanted, command, packages if offered else ())


def _check_namespace() -> Check:
    reason = namespace.no_namespace()
    advice = "apt-get install -y util-linux, allow user namespaces, or start the stack as another user than root"
    found = reason or "as user 1000"
    return Check("PostgreSQL as root", "a user namespace", found, reason is None, advice, ("util-linux",))


def _check_browser(*, required: bool) -> Check:
    found = programs.browser()
    advice = "apt-get install -y chromium"
    package = ("chromium",) if debian.offers("chromium", 100) else ()
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
