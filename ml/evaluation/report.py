"""The honest table: for people on the terminal, for programs as JSON."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from ml.evaluation import thefts
from ml.evaluation.experiment import Result, RowSet
from ml.metrics import FALSE_POSITIVE_RATE, Scores


def as_dict(result: Result, versions: dict[str, int]) -> dict[str, Any]:
    """Return everything that was found, as JSON has it (null for what cannot be measured)."""
    split, choice = result.split, result.choice
    return {
        "periods": {name: value if isinstance(value, int) else str(value) for name, value in asdict(split).items()},
        "delta_versions": versions,
        "training": _about(result.trained),
        "k": result.k,
        "chosen": asdict(choice),
        "threshold": choice.threshold,
        "sets": [
            _about(found)
            | {
                "card_precision_ceiling": found.ceiling,
                "models": [{"model": name} | scores.as_dict() for name, scores in found.models.items()],
            }
            for found in result.sets
        ],
        "outages": [{name: _number(value) for name, value in asdict(outage).items()} for outage in result.outages],
        "weeks": [
            {name: _number(value) for name, value in asdict(line).items()} | {"week": str(line.week)}
            for line in result.weeks
        ],
        "thefts": [{name: _number(value) for name, value in asdict(line).items()} for line in result.thefts],
    }


def show(result: Result, console: Console) -> None:
    """Print one table a row set, then what the model does while what it looks up is missing."""
    split, trained = result.split, result.trained
    console.print(
        f"\ntrained on {split.train_from} to {split.train_to} ({trained.rows:,} payments, {trained.cards:,} cards, "
        f"{trained.frauds:,} frauds known on {split.test_from}), {split.delay_days} days for labels, tested on "
        f"{split.test_from} to {split.test_to}"
    )
    for found in result.sets:
        table = Table(title=_title(found), title_justify="left")
        table.add_column("model")
        for name, _ in _columns(result.k):
            table.add_column(name, justify="right")
        for model, scores in found.models.items():
            table.add_row(model, *(_text(figure(scores)) for _, figure in _columns(result.k)))
        table.add_row("[dim]attainable[/]", "", f"[dim]{_text(found.ceiling)}[/]", "", "", "")
        console.print(table)
    title = f"lightgbm while something is missing, at its threshold {result.choice.threshold:.4g}"
    table = Table(title=title, title_justify="left")
    table.add_column("missing")
    for name in ("average precision", "frauds caught", "genuine sent to review"):
        table.add_column(name, justify="right")
    for outage in result.outages:
        rates = (f"{outage.recall:.1%}", f"{outage.false_positive_rate:.1%}")
        table.add_row(outage.name, _text(outage.average_precision), *rates)
    console.print(table)
    console.print(_thefts(result))


def _columns(k: int) -> tuple[tuple[str, Callable[[Scores], float]], ...]:
    """Return each column's title and the figure that it shows."""
    return (
        ("average precision", lambda scores: scores.average_precision),
        (f"card precision @ {k}", lambda scores: scores.card_precision),
        ("ROC AUC", lambda scores: scores.roc_auc),
        (f"recall @ {FALSE_POSITIVE_RATE:.0%} false positives", lambda scores: scores.recall),
        ("precision there", lambda scores: scores.precision),
    )


def _thefts(result: Result) -> Table:
    title = f"whole thefts of the test's last {thefts.DAYS} days, and where the threshold first stops them"
    table = Table("theft", "thefts", "stopped", "first at payment", "lost before", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for line in result.thefts:
        at = "-" if math.isnan(line.stopped_at) else f"{line.stopped_at:g}"
        lost = "-" if math.isnan(line.lost) else f"{line.lost:.1%}"
        table.add_row(line.length, f"{line.thefts:,}", f"{line.stopped:,}", at, lost)
    return table


def _title(found: RowSet) -> str:
    return (
        f"{found.name}: {found.rows:,} payments, {found.cards:,} cards, {found.frauds:,} frauds, "
        f"prevalence {found.prevalence:.2%}"
    )


def _about(found: RowSet) -> dict[str, Any]:
    return {
        "name": found.name,
        "rows": found.rows,
        "cards": found.cards,
        "frauds": found.frauds,
        "prevalence": found.prevalence,
    }


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _number(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
