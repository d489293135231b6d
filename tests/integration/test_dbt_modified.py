"""What a branch changed in dbt_project is built upon what its base built: the way in which a change meets a lake."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import PROJECT_DIR
from tests.integration import dbt_copy

MAINS = ("origin/main", "main", "origin/master", "master")
WITH_PAYMENTS = ("transaction_repeats", "transaction_conflicts")
"""Whoever makes silver.transactions makes these too."""


def git(*arguments: str) -> str:
    """Return what git says, nothing when it fails."""
    done = subprocess.run(["git", *arguments], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def merge_base() -> str:
    """Return the commit at which this branch left main; on main itself, the one before."""
    head = git("rev-parse", "HEAD")
    for main in MAINS:
        found = git("merge-base", "HEAD", main)
        if found:
            return git("rev-parse", "HEAD^") if found == head else found
    return git("rev-parse", "HEAD^")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project as it was at the merge base, in a folder of its own; without a history there is none to build on."""
    commit = merge_base()
    if not commit:
        pytest.skip("no merge base: this is a shallow clone (`git fetch --unshallow`), and state:modified+ needs one")
    folder = tmp_path_factory.mktemp("base") / "tree"
    git("worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        assert (folder / "dbt_project" / "dbt_project.yml").is_file(), f"no dbt_project at {commit}"
        yield folder / "dbt_project"
    finally:
        git("worktree", "remove", "--force", str(folder))


@pytest.fixture(scope="module")
def copy(stack: object, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbt_copy.Copy]:
    """A private copy of the schemas, small, built by the project of the merge base."""
    made = dbt_copy.Copy("modified_test", Path(tmp_path_factory.mktemp("dbt")), base)
    try:
        known = dbt_copy.payments(300, 40, seed=51)
        arriving = [*known, known[0], {**known[1], "amount_minor": 77}]
        decided = dbt_copy.decisions(arriving, made.transactions.places(len(arriving)), 1, seed=53)
        made.arrive(arriving, dbt_copy.labels(known, 0.2, seed=52), decided)
        made.register()
        made.dbt("seed")
        made.dbt("run", "--full-refresh")
        yield made
    finally:
        made.drop()


def test_what_changed_since_the_merge_base_builds(copy: dbt_copy.Copy) -> None:
    """Models, seeds and snapshots that differ from the base, and all that rests on them, build and pass their tests."""
    state = copy.folder / "base"
    shutil.copytree(copy.folder / "target", state)
    copy.project = dbt_copy.DBT
    chosen = ("--state", str(state), "--select", "state:modified+")
    changed = copy.dbt("ls", "--quiet", *chosen).stdout.split()
    if changed:
        copy.dbt("build", "--full-refresh", *chosen, *WITH_PAYMENTS)
        assert set(copy.results().values()) <= {"success", "pass", "warn", "no-op"}
