"""What `train`, `evaluate` and `promote` do, step by step, with progress."""

import json
import sys
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ml.dataset import source
from ml.dataset.source import Source
from ml.evaluation import experiment, report
from ml.evaluation.experiment import Result
from ml.progress import advance, progress_bar
from ml.registry import artifacts, versions
from scoring.manifest import REGISTERED_NAME

WIDTH = 110
"""Columns of a wide table where no terminal says how many there are."""


def evaluate(periods: dict[str, Any], k: int, json_file: Path | None) -> None:
    """Compare the model with its baselines on the periods and print the table; nothing is registered."""
    result, lake = _run(periods, k)
    report.show(result, Console())
    _save(report.as_dict(result, lake.versions()), json_file)


def train(periods: dict[str, Any], k: int, json_file: Path | None, *, promote: bool) -> None:
    """Evaluate, then register the model, and make it champion if asked to and it is not worse than the one there is."""
    result, lake = _run(periods, k)
    console = Console()
    report.show(result, console)
    built = artifacts.build(result, lake.versions())
    table = report.as_dict(result, lake.versions())
    better, why = versions.verdict(result)
    version = versions.log(built, artifacts.pictures(result, lake.versions(), table))
    console.print(f"registered as version {version} of {REGISTERED_NAME}")
    if promote and better:
        versions.promote(version)
        console.print(f"version {version} is the champion: {why}")
    else:
        reason = why if promote else "--no-promote"
        console.print(f"not promoted: {reason}; `python -m ml promote {version}` makes it the champion")
    extra = {
        "version": version,
        "promoted": promote and better,
        "reason": why,
        "files": built.manifest.files,
        "schema_hash": built.manifest.schema_hash,
    }
    _save(table | extra, json_file)


def parity(first: date | None, last: date | None, json_file: Path | None, metrics: Path | None) -> bool:
    """Compare logged features with the lake's and print the table; returns whether everything is explained."""
    from ml.parity import comparison, report

    with progress_bar() as bar:
        found = comparison.run(first, last, partial(advance, bar, {}))
    report.show(found, Console())
    _save(report.as_dict(found), json_file)
    if metrics:
        report.write_metrics(found, metrics)
    return not found.unexplained


def backtest(
    period: tuple[date, date], rules: Path | None, model: int | None, threshold: float | None, json_file: Path | None
) -> None:
    """Try rules, a model or a threshold on past payments and print what they would have done."""
    from ml.backtest import report, trial

    request = trial.Request(*period, trial.read_rules(rules) if rules else None, model, threshold)
    with progress_bar() as bar:
        found = trial.run(request, partial(advance, bar, {}))
    report.show(found, Console(width=WIDTH if not sys.stdout.isatty() else None))
    _save(found.as_dict(), json_file)


def _run(periods: dict[str, Any], k: int) -> tuple[Result, Source]:
    with progress_bar() as bar:
        task = bar.add_task("opening the lake", total=None)
        lake = source.connect()
        split = lake.split(**periods)
        bar.remove_task(task)
        rows = lake.rows(split, partial(advance, bar, {}))
        steps = bar.add_task("", total=None)
        result = experiment.run(rows, lake.verdicts, split, k, lambda what: _step(bar, steps, what))
    return result, lake


def _step(bar: Progress, task: Any, what: str) -> None:
    bar.update(task, description=what, advance=1)
    if not bar.console.is_terminal:
        bar.console.print(what)


def _save(table: dict[str, Any], file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(table, indent=2) + "\n")
