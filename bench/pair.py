"""Old against new: another commit and this checkout, each with its environment and stack of its own, measured in turn.

Machines differ by half and from hour to hour, so only what was measured in turn can be compared, and only as a ratio.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from bench.figures import number
from errors import ServerError
from settings import PROJECT_DIR

OLD_AFTER_S = 36 * 3_600
"""A tour's payments are decided for 48 hours; a stack that was prepared before this is prepared anew."""
WORSE = 0.1
"""A figure that is worse by more than this share is named."""
Report = Mapping[str, Any]
Key = tuple[str, str, str]
"""A section's title, a figure's name, its unit."""


@dataclass(frozen=True)
class Side:
    """One of the two: a checkout with its environment, and the home of its stack."""

    name: str
    checkout: Path
    python: Path
    home: Path

    def run(self, *arguments: str) -> None:
        """Run `python -m ARGUMENTS` there to its end; ServerError with the end of its log if it fails."""
        self.home.mkdir(parents=True, exist_ok=True)
        log = self.home.with_suffix(".log")
        with log.open("wb") as output:
            done = subprocess.run(
                [self.python, "-m", *arguments],
                cwd=self.checkout,
                env=os.environ | {"LAKEHOUSE_HOME": str(self.home)},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            end = log.read_text(errors="replace")[-2_000:]
            raise ServerError(f"{self.name}: `python -m {' '.join(arguments)}` ended with {done.returncode}: {end}")

    def prepare(self, cards: int, days: int) -> None:
        """Take the tour on its stack and stop it, unless that was done a short time ago."""
        mark = self.home / "prepared"
        if mark.is_file() and time.time() - mark.stat().st_mtime < OLD_AFTER_S:
            return
        shutil.rmtree(self.home, ignore_errors=True)
        try:
            self.run("infra.native", "fetch")
            self.run("demo", "--cards", str(cards), "--days", str(days))
        finally:
            self.run("infra.native", "down")
        mark.touch()

    def measure(self, part: str, *, quick: bool) -> Report:
        """Start the stack, measure one part of the bench, stop the stack; return its report."""
        report = self.home / "report.json"
        report.unlink(missing_ok=True)
        try:
            self.run("infra.native", "up")
            self.run("bench", part, "--json", str(report), *(["--quick"] if quick else []))
        finally:
            self.run("infra.native", "down")
        found: Report = json.loads(report.read_text())
        return found


@dataclass
class Pair:
    """What was measured of one figure, round by round."""

    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of new over old, round by round; NaN where an old value is 0."""
        return median(b / a if a else float("nan") for a, b in zip(self.old, self.new, strict=True))


def sides(against: str, folder: Path) -> tuple[Side, Side]:
    """Return the commit `against`, checked out under `folder` with an environment of its own, and this checkout."""
    commit = _git("rev-parse", "--short", "--verify", f"{against}^{{commit}}")
    checkout = folder / f"checkout-{commit}"
    if not checkout.is_dir():
        _git("worktree", "add", "--detach", str(checkout), commit)
    made = subprocess.run(
        ["make", "venv", f"PYTHON={sys.executable}"], cwd=checkout, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise ServerError(f"the environment of {checkout} cannot be made: {(made.stderr or made.stdout)[-2_000:]}")
    old = Side(commit, checkout, checkout / ".venv" / "bin" / "python", folder / f"stack-{commit}")
    return old, Side("this checkout", PROJECT_DIR, Path(sys.executable), folder / "stack-here")


def measure(
    old: Side, new: Side, parts: Sequence[str], rounds: int, *, quick: bool, cards: int, days: int
) -> dict[Key, Pair]:
    """Prepare both stacks, then measure each part on the one and on the other, in turn, `rounds` times."""
    for side in (old, new):
        side.prepare(cards, days)
    turns = [(old.measure(part, quick=quick), new.measure(part, quick=quick)) for _ in range(rounds) for part in parts]
    return paired(turns)


def paired(turns: Sequence[tuple[Report, Report]]) -> dict[Key, Pair]:
    """Return the figures that both reports of a turn have, by title, name and unit."""
    found: dict[Key, Pair] = defaultdict(Pair)
    for before, after in turns:
        known = _values(before)
        for key, value in _values(after).items():
            if key in known:
                found[key].old.append(known[key])
                found[key].new.append(value)
    return dict(found)


def is_worse(unit: str, ratio: float) -> bool:
    """Return whether new over old is worse by more than WORSE: rates and factors should be large, all else small."""
    return ratio < 1 - WORSE if unit.endswith("/s") or unit == "x" else ratio > 1 + WORSE


def table(found: Mapping[Key, Pair], old: str) -> Table:
    """Return medians and ratios as people read them."""
    shown = Table(title=f"This checkout against {old}, in turn", title_justify="left")
    for name in ("section", "figure", "unit", old, "here", "here / before", "rounds", ""):
        shown.add_column(name, justify="right" if name in {old, "here", "here / before", "rounds"} else "left")
    for (section, name, unit), pair in found.items():
        worse = "[red]worse[/]" if is_worse(unit, pair.ratio) else ""
        values = (number(median(pair.old)), number(median(pair.new)), f"{pair.ratio:.2f}")
        shown.add_row(section, name, unit, *values, str(len(pair.new)), worse)
    return shown


def as_dict(found: Mapping[Key, Pair]) -> list[dict[str, Any]]:
    """Return what stands in the JSON report."""
    return [
        {"section": section, "name": name, "unit": unit, "old": pair.old, "new": pair.new, "ratio": pair.ratio}
        for (section, name, unit), pair in found.items()
    ]


def _values(report: Report) -> dict[Key, float]:
    return {
        (section["title"], figure["name"], figure["unit"]): figure["value"]
        for section in report["sections"]
        for figure in section["figures"]
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"`git {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()
