"""Small trials of what the machine must do, each as it will be used; standard library alone.

Each returns what was found, in a few words, and whether that is good.
"""

import ctypes
import os
import platform
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.native.machine import environment, programs
from infra.native.machine.programs import PrerequisiteError
from infra.native.paths import FETCHING

Found = tuple[str, bool]
FETCHES_GO = (1, 21)
"""The first Go that fetches, by itself, the Go that a go.mod asks for."""
TIMEOUT_S = 60


def system() -> Found:
    """Linux with glibc on x86_64 or aarch64: that is what the servers' programs and the wheels are built for."""
    libc = platform.libc_ver()[0] or "no glibc"
    found = f"{platform.system()}, {platform.machine()}, {libc}"
    good = platform.system() == "Linux" and libc == "glibc" and platform.machine() in {"x86_64", "aarch64"}
    return found, good


def python() -> Found:
    """A Python that the locks have wheels for; outside of their span uv brings one."""
    version = sys.version.split()[0]
    return (version, True) if sys.version_info[:2] in environment.PLATFORM else (f"{version}; uv brings another", True)


def venv() -> Found:
    """Python's venv with pip inside, which Debian has in a package of its own."""
    done = _run(sys.executable, "-m", "ensurepip", "--version")
    return ("it has pip", True) if done.returncode == 0 else (_last(done.stderr), False)


def certificates() -> Found:
    """The authorities that pip, Go and Maven trust."""
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    there = bool(paths.cafile) or bool(folder and any(folder.iterdir()))
    return ("there", True) if there else ("none", False)


def java() -> Found:
    """A JDK 25 that starts with the module that Spark and Trino calculate with."""
    try:
        home = programs.java_home()
    except PrerequisiteError:
        others = sorted({str(major) for home in programs.java_candidates() if (major := programs.java_major(home))})
        return (f"only Java {', '.join(others)}" if others else "none"), False
    done = _run(str(home / "bin" / "java"), "-Xmx64m", "--add-modules", "jdk.incubator.vector", "--version")
    return (str(home), True) if done.returncode == 0 else (f"{home}: {_last(done.stdout + done.stderr)}", False)


def maven() -> Found:
    """Maven that starts."""
    return _version(programs.maven_program, "--version", r"Apache Maven ([\d.]+)", (3, 6))


def go() -> Found:
    """Go as new as MinIO's go.mod asks for, or one that can fetch that through its module proxy."""
    wanted = needed_go()
    found, good = _version(programs.go_program, "version", r"go(\d[\d.]*)", FETCHES_GO)
    if not good or _numbers(found) >= _numbers(wanted)[:2]:
        return found, good
    processor = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    toolchain = f"golang.org/toolchain@v0.0.1-go{wanted}.linux-{processor}"
    done = _run(programs.go_program(), "list", "-m", toolchain, GOTOOLCHAIN="local", GOFLAGS="-mod=mod")
    if done.returncode:
        return f"{found}, and no way to Go {wanted}: {_last(done.stderr)}", False
    return f"{found}; fetches {wanted} itself", True


def needed_go() -> str:
    """Return the Go that MinIO's go.mod asks for, as `1.25.0`."""
    match = re.search(r"^go (\S+)$", (FETCHING / "minio" / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise PrerequisiteError("infra/native/fetching/minio/go.mod names no Go")
    return match[1]


def openmp() -> Found:
    """LightGBM's own library, where it is installed, can be loaded; else what it needs of the system."""
    return _library(_installed("lightgbm/lib/lib_lightgbm.so") or "libgomp.so.1")


def atomics() -> Found:
    """Playwright's driver, where it is installed, starts; else what it needs of the system can be loaded."""
    driver = _installed("playwright/driver/node")
    if not driver:
        return _library("libatomic.so.1")
    done = _run(driver, "--version")
    return ("Playwright's driver starts", True) if done.returncode == 0 else (_last(done.stderr), False)


def browser() -> Found:
    """A Chromium that starts."""
    program = programs.browser()
    if program is None:
        return "none", False
    done = _run(program, "--version")
    return (_last(done.stdout), True) if done.returncode == 0 else (f"{program}: {_last(done.stderr)}", False)


def git() -> Found:
    """Git, by which the tests find what a change changed."""
    return _version(lambda: "git", "--version", r"git version ([\d.]+)", (2, 0))


def loopback() -> Found:
    """A port on 127.0.0.1 that can be listened on and reached; which ones are taken, the start finds out."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=2).close()
    except OSError as error:
        return str(error), False
    return "ports open and answer", True


def _version(find: Callable[[], str], argument: str, pattern: str, wanted: tuple[int, int]) -> Found:
    try:
        program = find()
    except PrerequisiteError:
        return "none", False
    done = _run(program, argument, GOTOOLCHAIN="local")
    match = re.search(pattern, done.stdout)
    if match is None:
        return f"{program}: {_last(done.stdout + done.stderr)}", False
    return match[1], _numbers(match[1]) >= wanted


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _installed(name: str) -> str:
    """Return the path of a file of the environment's packages; empty when it is not there yet."""
    return next((str(path) for path in environment.PLACE.glob(f"lib/python3*/site-packages/{name}")), "")


def _library(name: str) -> Found:
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error), False
    return f"{Path(name).name} loads", True


def _run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environ: Mapping[str, str] = os.environ | variables
    try:
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, cwd="/"
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer in {TIMEOUT_S} s; is the machine very busy?")


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][-160:] if lines else "it says nothing"
