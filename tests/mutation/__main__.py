"""Plant the faults of faults.yaml in a copy of dbt_project: `python -m tests.mutation`; each must be caught by a test.

First the unit tests, several faults at once: one of each model, since a unit test sees one model alone. What they do
not see is planted by itself, built on a small known lake, and its data tests run. Prints which test caught each fault,
and exits with 1 if one survived. Needs a running stack.
"""

import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
import yaml
from rich.console import Console
from rich.table import Table

import commands
from errors import LakehouseError
from tests.integration import dbt_copy

FOLDER = Path(__file__).parent
PAYMENTS = ("transactions", "transaction_repeats", "transaction_conflicts")
UNTESTED = ("--exclude", "card_risk_now+", "merchant_risk_now+")
"""Snapshots need a history; they have tests of their own."""
REBUILT = ("build", "--full-refresh", "--exclude-resource-type", "unit_test")
app = typer.Typer()
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


class SurvivedError(LakehouseError):
    """A planted fault was caught by no test."""


@dataclass(frozen=True)
class Fault:
    """What a person might write instead of what stands there."""

    file: str
    change: str
    to: str
    why: str

    @property
    def name(self) -> str:
        """The model, macro file or seed."""
        return Path(self.file).stem

    @property
    def built(self) -> tuple[str, ...]:
        """What is built to see it in data: its model or seed; of payments all three models; of a macro everything."""
        if self.file.startswith("macros/"):
            return ("fqn:*",)
        return PAYMENTS if self.name in PAYMENTS else (self.name,)


def faults(only: Sequence[str] = ()) -> list[Fault]:
    """Return the listed faults that have a text of `only` in file or reason; all without one."""
    listed = [Fault(**each) for each in yaml.safe_load((FOLDER / "faults.yaml").read_text())]
    return [fault for fault in listed if not only or any(text in fault.file + fault.why for text in only)]


def rounds(listed: Sequence[Fault]) -> list[list[Fault]]:
    """Return the faults in rounds: one of each model in a round; a macro's by itself, for it reaches every model."""
    by_file = defaultdict(list)
    for fault in listed:
        by_file[fault.file].append(fault)
    models = [mine for file, mine in by_file.items() if file.startswith("models/")]
    longest = max(map(len, models), default=0)
    together = [[mine[number] for mine in models if number < len(mine)] for number in range(longest)]
    return together + [[fault] for fault in listed if fault.file.startswith("macros/")]


@contextmanager
def planted(project: Path, chosen: Sequence[Fault]) -> Iterator[None]:
    """Write the faults into the project, and take them away again; LakehouseError when a place is no longer there."""
    sound = {fault.file: (project / fault.file).read_text() for fault in chosen}
    try:
        for fault in chosen:
            if fault.change not in sound[fault.file]:
                raise LakehouseError(f"{fault.file}: {fault.change!r} stands nowhere; bring faults.yaml up to date")
            (project / fault.file).write_text(sound[fault.file].replace(fault.change, fault.to))
        yield
    finally:
        for file, text in sound.items():
            (project / file).write_text(text)


def small_lake(scratch: Path) -> dbt_copy.Copy:
    """Return a copy of the project on a small Bronze with repeats, conflicts and labels told twice, built soundly."""
    project = scratch / "project"
    shutil.copytree(dbt_copy.DBT, project, ignore=shutil.ignore_patterns("target", "logs"))
    copy = dbt_copy.Copy("mutation", scratch / "dbt", project)
    known = dbt_copy.payments(400, 50, seed=11)
    arriving = [*known, *known[:5], *({**row, "amount_minor": row["amount_minor"] + 77} for row in known[5:10])]
    told = dbt_copy.labels(known, 0.2, seed=12)
    decided = dbt_copy.decisions(arriving, copy.transactions.places(len(arriving)), 1, seed=13)
    copy.arrive(arriving, told + told[:5], decided)
    copy.register()
    # A unit test asks Trino for the columns of what its model reads, so all has to be there once.
    copy.dbt("build", "--full-refresh", *UNTESTED)
    return copy


def failed(copy: dbt_copy.Copy, *arguments: str) -> dict[str, str]:
    """Run dbt and return the tests that failed: name to the model of a unit test, else to nothing."""
    from dbt.cli.main import dbtRunner

    with copy.environment():
        done = dbtRunner().invoke(["--log-level", "none", *arguments])
    if done.exception or done.result is None:
        raise LakehouseError(f"dbt {' '.join(arguments)}: {done.exception}")
    found = {}
    for result in done.result.results:
        if result.status == "error":
            said = f"{result.node.name} cannot run: {result.message}"
            raise LakehouseError(f"a fault must change what a model means, not break it; {said}")
        if result.status == "fail":
            # unit_test.PROJECT.MODEL.NAME
            kind, _, model = result.node.unique_id.split(".")[:3]
            found[result.node.name] = model if kind == "unit_test" else ""
    return found


@app.command()
def mutate(
    only: list[str] = typer.Option([], help="Only faults with this in file or reason; may be repeated."),  # noqa: B008
    unit: bool = typer.Option(False, "--unit", help="Only the unit tests; what they do not see is not judged."),
) -> None:
    """Plant each fault, name the test that caught it, and fail if one survived."""
    listed = faults(only)
    caught: dict[Fault, str] = {}
    with tempfile.TemporaryDirectory(prefix="mutation-") as scratch:
        copy = small_lake(Path(scratch))
        try:
            for together in rounds(listed):
                with planted(copy.project, together):
                    seen = failed(copy, "test", "--select", "test_type:unit")
                for fault in together:
                    mine = [name for name, model in seen.items() if model == fault.name or len(together) == 1]
                    if mine:
                        caught[fault] = f"unit test {', '.join(mine)}"
                        _say(fault, caught[fault])
            for fault in [] if unit else [fault for fault in listed if fault not in caught]:
                with planted(copy.project, [fault]):
                    seen = failed(copy, *REBUILT, "--fail-fast", "--select", *fault.built, *UNTESTED)
                copy.dbt(*REBUILT, "--exclude-resource-type", "test", "--select", *fault.built, *UNTESTED)
                if seen:
                    caught[fault] = f"data test {', '.join(seen)}"
                _say(fault, caught.get(fault, "SURVIVED"))
        finally:
            copy.drop()
    _show(listed, caught)
    survived = [fault for fault in listed if fault not in caught]
    if survived and not unit:
        raise SurvivedError(f"{len(survived)} faults survived: {'; '.join(fault.why for fault in survived)}")


def _say(fault: Fault, outcome: str) -> None:
    console.print(f"{fault.file}: {fault.why}: {outcome}", markup=False, soft_wrap=True)
    sys.stdout.flush()


def _show(listed: Sequence[Fault], caught: dict[Fault, str]) -> None:
    shown = Table("#", "in", "instead of", "stands", "caught by", title="Planted faults", show_lines=True)
    for number, fault in enumerate(listed, 1):
        shown.add_row(
            str(number), fault.name, fault.change.strip(), fault.to.strip() or "nothing", caught.get(fault, "-")
        )
    console.print(shown)
    console.print(f"{len(listed)} faults planted, {len(caught)} caught.")


if __name__ == "__main__":
    commands.run(app)
