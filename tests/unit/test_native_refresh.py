"""The refresh: one at a time, its outcome noted, a failure told and not the end."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.native import refresh
from infra.native.paths import Home
from infra.native.stackenv import FOR_USERS
from infra.native.state import notes

APPEND = "import sys, time; f = open(sys.argv[1], 'a'); f.write('in '); f.flush(); time.sleep(0.2); f.write('out ')"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A stack whose Bronze is there and whose steps are chosen by the test."""
    found = Home(tmp_path)
    found.make()
    (found.root / "run").mkdir()
    found.env_file.write_text("".join(f"{name}=x\n" for name in FOR_USERS))
    monkeypatch.setattr(refresh, "_bronze_is_registered", lambda _: True)
    return found


def steps(monkeypatch: pytest.MonkeyPatch, *commands: tuple[str, list[str]]) -> None:
    """Let these commands be the steps."""
    monkeypatch.setattr(refresh, "_steps", lambda _: iter(commands))


def test_a_good_refresh_is_noted_with_its_steps(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcome and each step's seconds stand in the status folder."""
    steps(monkeypatch, ("one", [sys.executable, "-c", "pass"]), ("two", [sys.executable, "-c", "pass"]))
    assert refresh.once(home)
    note = notes.read(home, "last-refresh")
    assert note["ok"] is True
    assert set(note["steps"]) == {"one", "two"}
    assert note["at"] <= time.time()


def test_a_failing_step_ends_the_refresh_and_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps after it do not run; the error holds the end of its output; the note says that it failed."""
    marker = home.root / "ran"
    steps(
        monkeypatch,
        ("bad", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"]),
        ("next", [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]),
    )
    with pytest.raises(refresh.RefreshError, match=r"bad ended with 3[\s\S]*the reason"):
        refresh.once(home)
    assert not marker.exists()
    assert notes.read(home, "last-refresh")["ok"] is False


def test_a_landing_that_fails_leaves_the_refresh_good(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An MLflow that is away costs neither tables nor features: what comes after it runs."""
    marker = home.root / "ran"
    steps(
        monkeypatch,
        (refresh.LANDING, [sys.executable, "-c", "raise SystemExit(1)"]),
        ("next", [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]),
    )
    assert refresh.once(home)
    assert marker.exists()
    assert notes.read(home, "last-refresh")["ok"] is True


def test_nothing_in_bronze_is_no_failure(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first payment there is nothing to do, and the note says so."""
    monkeypatch.setattr(refresh, "_bronze_is_registered", lambda _: False)
    assert not refresh.once(home)
    assert notes.read(home, "last-refresh")["ok"] is None


def test_two_refreshes_run_one_after_the_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second refresh waits for the first; their steps never mix."""
    trace = home.root / "trace"
    command = [sys.executable, "-c", APPEND, str(trace)]
    monkeypatch.setattr(refresh, "_steps", lambda _: iter([("step", command)]))
    threads = [threading.Thread(target=refresh.once, args=(home,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trace.read_text() == "in out " * 3


def test_upkeep_comes_after_the_features_and_once_a_day(home: Home) -> None:
    """A refresh ends with the upkeep when the last good one was a day ago or never; a failed one is tried again."""
    home.data("refresh").mkdir(parents=True, exist_ok=True)
    names = [name for name, _ in refresh._steps(home)]
    assert names[-4:] == ["feature-writer", "dbt snapshot", "lake upkeep", "lake land"]
    assert "lake upkeep" not in [name for name, _ in refresh._steps(home)]
    marker = home.data("refresh") / "upkeep"
    os.utime(marker, (time.time() - refresh.UPKEEP_EVERY_S - 1,) * 2)
    until_it_fails = refresh._steps(home)
    while next(until_it_fails)[0] != "lake upkeep":
        pass
    until_it_fails.close()
    assert "lake upkeep" in [name for name, _ in refresh._steps(home)]


def test_the_commit_of_the_checkout_is_told_to_dbt(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit of the checkout stands in dbt's environment; without a checkout there is none."""
    code = f"import os, sys; sys.exit(os.environ['{refresh.COMMIT}'] != 'abc-dirty')"
    monkeypatch.setattr(refresh, "_commit", lambda: "abc-dirty")
    steps(monkeypatch, ("look", [sys.executable, "-c", code]))
    assert refresh.once(home)
    monkeypatch.undo()
    monkeypatch.setattr(refresh, "PROJECT_DIR", home.root)
    assert refresh._commit() == ""


def test_a_step_beside_another_dbt_run_waits_its_turn(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While dbt says that another run is at work, the step is tried again; then the refresh goes on."""
    monkeypatch.setattr(refresh, "BUSY_PAUSE_S", 0.01)
    marker = home.root / "tried"
    busy = (
        "import pathlib, sys; tried = pathlib.Path(sys.argv[1])\n"
        f"if not tried.exists(): tried.touch(); print({refresh.BESIDE_ANOTHER!r}); sys.exit(1)"
    )
    steps(monkeypatch, ("dbt run", [sys.executable, "-c", busy, str(marker)]))
    assert refresh.once(home)
    assert refresh.BESIDE_ANOTHER in (refresh.DBT / "macros" / "one_run.sql").read_text()
