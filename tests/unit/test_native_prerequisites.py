"""`make doctor`: it tries, says what is missing, and names the one command that installs it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.native import begin
from infra.native.machine import debian, environment, prerequisites, programs, trials
from infra.native.machine.prerequisites import Check
from settings import PROJECT_DIR

AS_ROOT = {"PostgreSQL as root"} if os.geteuid() == 0 else set()
ALWAYS = {"System", "Python", "Python's venv", "Certificates", "JDK", "OpenMP", "Loopback"} | AS_ROOT


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with an empty PATH, an empty home, no JDK in the usual folders and an environment without packages."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setattr(programs, "JAVA", 99)
    monkeypatch.setattr(environment, "PLACE", tmp_path / ".venv")
    monkeypatch.setattr(programs, "go_program", lambda: programs._find("go", "Go"))
    programs.forget_java()
    yield tmp_path
    programs.forget_java()


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_is_missing_is_named_with_what_to_do(bare: Path) -> None:
    """On a bare machine JDK, Maven and Go are missing, and each line says how to install it."""
    checks = {check.name: check for check in prerequisites.checks(fetched=False)}
    for name in ("JDK", "Maven", "Go"):
        assert not checks[name].good
        assert checks[name].required
        assert "install" in checks[name].advice
    assert checks["Python"].good


def test_package_clients_are_not_required_once_all_is_fetched(bare: Path) -> None:
    """With the servers in the cache neither Maven nor Go is asked for; the JDK still is."""
    assert {check.name for check in prerequisites.checks(fetched=True) if check.required} == ALWAYS
    assert {check.name for check in prerequisites.checks(fetched=False) if check.required} == (
        ALWAYS | {"Maven", "Go", "Disk"}
    )


def test_a_browser_its_driver_and_git_are_asked_for_by_tests_only(bare: Path) -> None:
    """Without them the stack runs; only the tests' doctor asks, and knows their packages."""
    names = {check.name for check in prerequisites.checks(fetched=True)}
    for_tests = {check.name: check for check in prerequisites.checks(fetched=True, tests=True)}
    assert for_tests.keys() - names == {"Chromium", "Atomics", "Git"}
    assert not for_tests["Chromium"].good
    assert "chromium" in for_tests["Chromium"].advice


@pytest.mark.parametrize(
    ("version", "proxy", "good"),
    [
        ("go1.27.1", 1, True),  # new enough by itself: no proxy is asked
        ("go1.24.4", 0, True),  # Debian 13's, which fetches the one of go.mod
        ("go1.24.4", 1, False),  # the same without a proxy
        ("go1.19.8", 0, False),  # Debian 12's fetches none
    ],
)
def test_an_older_go_is_enough_where_it_can_fetch_a_newer(bare: Path, version: str, proxy: int, good: bool) -> None:
    """Go is good when it is as new as MinIO's go.mod says, or has that as a toolchain from its proxy."""
    script = (
        f'if [ "$1" = version ]; then echo "go version {version} linux/amd64"; else echo offline >&2; exit {proxy}; fi'
    )
    program(bare, "go", script)
    found, is_good = trials.go()
    assert is_good == good
    assert version.removeprefix("go") in found


def test_a_program_that_does_not_start_is_missing(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To lie on the PATH is not enough: a browser and a JDK that end with an error are not good, in their own words."""
    program(bare, "chromium", "echo libnss3.so: cannot open shared object file >&2; exit 127")
    found, good = trials.browser()
    assert not good
    assert "libnss3" in found
    home = bare / "jdk"
    (home / "bin").mkdir(parents=True)
    program(home / "bin", "java", "echo module jdk.incubator.vector not found >&2; exit 1")
    (home / "release").write_text('JAVA_VERSION="99.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(home))
    found, good = trials.java()
    assert not good
    assert "jdk.incubator.vector" in found


def test_lightgbm_is_loaded_where_it_is_installed(bare: Path) -> None:
    """A library that cannot be loaded is said with the system's own words; without the environment OpenMP is tried."""
    place = bare / ".venv/lib/python3.13/site-packages/lightgbm/lib"
    place.mkdir(parents=True)
    (place / "lib_lightgbm.so").write_bytes(b"no library")
    found, good = trials.openmp()
    assert not good
    assert "lib_lightgbm.so" in found


def test_one_command_installs_all_that_packages_give() -> None:
    """The table ends with one command for every missing package, and with advice for what has none."""

    def check(name: str, package: str, *, good: bool = False, required: bool = True) -> Check:
        return Check(name, "any", "none", good, required, package, f"look for {name}")

    found = [
        check("JDK", "openjdk-25-jdk-headless"),
        check("OpenMP", "libgomp1"),
        check("Git", "git", good=True),
        check("Go", "golang-go", required=False),
        check("System", ""),
    ]
    text = begin.table(found)
    assert "apt-get install -y --no-install-recommends openjdk-25-jdk-headless libgomp1\n" in text
    assert text.endswith("System: look for System")


def test_a_system_without_lists_of_packages_is_taken_to_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh image apt knows nothing before its update: the command is named all the same."""
    monkeypatch.setattr(debian, "LISTS", tmp_path)
    program(tmp_path, "apt-cache", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert debian.offers("openjdk-25-jdk-headless", 25)


def test_the_machine_is_looked_at_without_any_library() -> None:
    """What begins needs the standard library alone: there is no environment on a bare machine."""
    command = [sys.executable, "-S", "-m", "infra.native.begin", "--help"]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


def test_the_span_of_pythons_is_one() -> None:
    """What doctor says, what pip is told and what README names is the same span."""
    assert str(environment.PLATFORM) in (PROJECT_DIR / "README.md").read_text()
    assert f'requires-python = "{environment.PLATFORM.request}"' in (PROJECT_DIR / "pyproject.toml").read_text()
    assert [(3, minor) in environment.PLATFORM for minor in range(10, 15)] == [False, True, True, True, False]
    older = environment.Pythons((3, 0), sys.version_info[:2])
    newer = environment.Pythons((3, sys.version_info[1] + 1), (3, sys.version_info[1] + 2))
    assert (older.for_uv, newer.for_uv) == (sys.executable, newer.request)


def test_java_home_is_believed_only_when_it_is_the_right_jdk(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JAVA_HOME of another version is passed over; one of the right version is taken."""
    for major in (17, 99):
        home = bare / f"jdk-{major}"
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "java").touch()
        (home / "release").write_text(f'JAVA_VERSION="{major}.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(bare / "jdk-17"))
    with pytest.raises(programs.PrerequisiteError, match="no JDK 99"):
        programs.java_home()
    monkeypatch.setenv("JAVA_HOME", str(bare / "jdk-99"))
    assert programs.java_home() == bare / "jdk-99"
