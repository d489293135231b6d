"""`make doctor`: it looks, says what is missing, and names the one command that installs it."""

import os
from pathlib import Path

import pytest

from infra.native import prerequisites, programs

AS_ROOT = {"PostgreSQL as root"} if os.geteuid() == 0 else set()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty PATH, an empty home, and no JDK in the usual folders."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", "")
    monkeypatch.setattr(programs, "JAVA", 99)
    monkeypatch.setattr(prerequisites, "JAVA", 99)
    monkeypatch.setattr(prerequisites, "GO", (99, 0))
    programs.forget_java()
    yield tmp_path
    programs.forget_java()


def test_what_is_missing_is_named_with_what_to_do(bare: Path) -> None:
    """On a bare machine JDK, Maven and Go are missing, and each line says how to install it."""
    checks = {check.name: check for check in prerequisites.checks(fetched=False)}
    for name in ("JDK", "Maven", "Go"):
        assert not checks[name].good
        assert checks[name].required
        assert "install" in checks[name].install
    assert checks["Python"].good


def test_package_clients_are_not_required_once_all_is_fetched(bare: Path) -> None:
    """With the servers in the cache neither Maven nor Go is asked for; the JDK still is."""
    required = {check.name for check in prerequisites.checks(fetched=True) if check.required}
    assert required == {"JDK", "Python"} | AS_ROOT


def test_a_browser_is_required_for_tests_only(bare: Path) -> None:
    """Without Chromium the stack runs; only the tests' doctor fails, and it names the package."""
    for tests in (False, True):
        chromium = next(c for c in prerequisites.checks(fetched=True, tests=tests) if c.name == "Chromium")
        assert not chromium.good
        assert chromium.required == tests
        assert "chromium" in chromium.install


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
