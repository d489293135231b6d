"""What the machine must have before anything is fetched, each asked for by trying it; standard library alone."""

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.native.machine import debian, environment, namespace, programs, trials
from infra.native.machine.programs import JAVA
from infra.native.machine.trials import Found
from infra.native.paths import PROJECT_DIR, cache_dir

MEMORY_GIB = 8
DISK_GIB = 10
"""For the Python environment, the servers and what their build leaves; a demo's own data is a few hundred MB."""


@dataclass(frozen=True)
class Wish:
    """What is tried, and how it is got when it is missing."""

    name: str
    wanted: str
    trial: Callable[[], Found]
    package: str = ""
    """Debian's package that gives it."""
    least: tuple[int, int] = (0, 0)
    """The version from which on that package is new enough."""
    advice: str = ""
    """What to do where no package gives it."""
    required: bool = True
    """Whether nothing goes without it."""


@dataclass(frozen=True)
class Check:
    """One line of `make doctor`: what was wanted, what was found, and what to do."""

    name: str
    wanted: str
    found: str
    good: bool
    required: bool
    package: str
    """Debian's package that gives it, where this system offers one that is new enough; else empty."""
    advice: str


def checks(*, fetched: bool, tests: bool = False) -> list[Check]:
    """Try everything, side by side. With all servers `fetched`, no client is required; some are for `tests` only."""
    wishes = _wishes(fetched=fetched, tests=tests)
    with ThreadPoolExecutor(max_workers=len(wishes)) as pool:
        return list(pool.map(_check, wishes))


def lacking(found: Sequence[Check]) -> list[Check]:
    """Return what is required and missing."""
    return [check for check in found if check.required and not check.good]


def command(found: Sequence[Check]) -> list[str]:
    """Return the one command that installs what is lacking and packages give; empty when they give none of it."""
    packages = list(dict.fromkeys(check.package for check in lacking(found) if check.package))
    return ["apt-get", "install", "-y", "--no-install-recommends", *packages] if packages else []


def install(*, fetched: bool, tests: bool = False) -> str:
    """Install what is lacking and Debian's packages give, when this process may; returns what was done."""
    if not debian.may_install():
        return "nothing was installed: that needs root and apt-get"
    if problem := debian.apt_get("update"):
        return problem
    # Only now is it known what the packages offer.
    words = command(checks(fetched=fetched, tests=tests))
    if not words:
        return "nothing of it is in this system's packages"
    problem = debian.apt_get(*words[1:])
    programs.forget_java()
    return problem or f"installed: {' '.join(words)}"


def _wishes(*, fetched: bool, tests: bool) -> list[Wish]:
    site = "from its project's site: this system's packages have none new enough"
    wishes = [
        Wish("System", "Linux, glibc, x86_64 or aarch64", trials.system, advice="use such a machine, or one in a VM"),
        Wish("Python", f"{environment.PLATFORM}, else by uv", trials.python),
        Wish("Python's venv", "with pip", trials.venv, "python3-venv", advice="install a Python with venv"),
        Wish("Certificates", "for downloads", trials.certificates, "ca-certificates", advice="install your system's"),
        Wish("JDK", str(JAVA), trials.java, f"openjdk-{JAVA}-jdk-headless", (JAVA, 0), f"install a JDK {JAVA} {site}"),
        Wish("OpenMP", "for LightGBM", trials.openmp, "libgomp1", advice="install libgomp"),
        Wish("Maven", "3.6 or newer", trials.maven, "maven", (3, 6), f"install Maven {site}", required=not fetched),
        Wish(
            "Go",
            f"{trials.needed_go()}, or {'.'.join(map(str, trials.FETCHES_GO))} that fetches it",
            trials.go,
            "golang-go",
            trials.FETCHES_GO,
            f"install Go {site}",
            required=not fetched,
        ),
        Wish("Loopback", "ports on 127.0.0.1", trials.loopback, advice="bring the interface `lo` up"),
        Wish("Memory", f"{MEMORY_GIB} GiB free", _memory, advice="close other programs", required=False),
        Wish(
            "Disk",
            f"{DISK_GIB} GiB free",
            _disk,
            advice="free some space, or set LAKEHOUSE_CACHE and LAKEHOUSE_HOME",
            required=not fetched,
        ),
    ]
    if os.geteuid() == 0:
        advice = "allow user namespaces, or start the stack as another user than root"
        wishes.append(Wish("PostgreSQL as root", "a user namespace", _namespace, "util-linux", advice=advice))
    if tests:
        for name, trial, package in (
            ("Chromium", trials.browser, "chromium"),
            ("Atomics", trials.atomics, "libatomic1"),
            ("Git", trials.git, "git"),
        ):
            wishes.append(Wish(name, "for the tests", trial, package, advice=f"install {package}"))
    return wishes


def _check(wish: Wish) -> Check:
    found, good = wish.trial()
    offered = bool(wish.package) and not good and debian.offers(wish.package, *wish.least)
    package = wish.package if offered else ""
    return Check(wish.name, wish.wanted, found, good, wish.required, package, wish.advice)


def _namespace() -> Found:
    reason = namespace.no_namespace()
    return reason or "as user 1000", reason is None


def _memory() -> Found:
    line = next(row for row in Path("/proc/meminfo").read_text().splitlines() if row.startswith("MemAvailable"))
    free = int(line.split()[1]) / 2**20
    return f"{free:.1f} GiB", free >= MEMORY_GIB


def _disk() -> Found:
    places = (cache_dir(), Path(os.environ.get("LAKEHOUSE_HOME") or PROJECT_DIR).resolve(), PROJECT_DIR)
    free = min(shutil.disk_usage(_existing(place)).free for place in places) / 2**30
    return f"{free:.1f} GiB", free >= DISK_GIB


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
