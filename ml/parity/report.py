"""A comparison as a table for people, as JSON for programs, and as metrics for Prometheus."""

import math
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from rich.console import Console
from rich.table import Table

from ml.parity.comparison import Feature, Parity

USUAL_SHARE = 0.01
"""Of decisions with every group, those that differ for a recorded cause; more, where nothing was put to the test."""


def show(found: Parity, console: Console) -> None:
    """Print a line a feature, the causes, and what nothing explains."""
    grid = Table(
        title=f"{found.compared:,} of {found.decisions:,} decisions made again from Bronze and Gold",
        title_justify="left",
    )
    grid.add_column("feature", no_wrap=True)
    for name in ("equal", "largest difference", "explained", "unexplained"):
        grid.add_column(name, justify="right")
    for each in found.features:
        explained = each.compared - each.equal - each.unexplained
        colour = "red" if each.unexplained else "green" if each.equal == each.compared else ""
        grid.add_row(
            each.name, _share(each), f"{each.largest:.4g}", f"{explained:,}", f"{each.unexplained:,}", style=colour
        )
    console.print(grid)
    for cause, count in found.causes.most_common():
        console.print(f"{count:,} decisions differ, {cause}")
    for count, what in (
        (found.degraded, "were made without a group of features, and say so"),
        (found.other_features, "were made by other features (schema_hash) and are not compared"),
        (found.waiting, "wait for their payment to reach Bronze and are not compared"),
        (found.missing, "have a payment that is not in Bronze though Bronze is past it: unexplained"),
    ):
        if count:
            console.print(f"{count:,} decisions {what}")
    for name, example in found.examples:
        console.print(f"[red]unexplained[/] {name}: {example.feature} was {example.logged:.9g}, is {example.again:.9g}")
    if found.explained_share > USUAL_SHARE:
        console.print(
            f"[yellow]{found.explained_share:.1%} of the other decisions differ for a recorded cause, usual "
            f"is at most {USUAL_SHARE:.0%}[/]"
        )
    colour = "red" if found.unexplained else "green"
    console.print(f"[{colour}]{found.unexplained:,} unexplained[/]")


def as_dict(found: Parity) -> dict[str, Any]:
    """Return everything that was found, as JSON has it."""
    counts = (
        "decisions",
        "compared",
        "degraded",
        "differing",
        "other_features",
        "waiting",
        "missing",
        "unexplained",
        "explained_share",
    )
    return {name: getattr(found, name) for name in counts} | {
        "causes": dict(found.causes),
        "features": [
            {
                "name": each.name,
                "compared": each.compared,
                "equal": each.equal,
                "largest": each.largest,
                "causes": dict(each.causes),
                "unexplained": each.unexplained,
            }
            for each in found.features
        ],
        "examples": [
            {
                "transaction_id": name,
                "feature": each.feature,
                "logged": _number(each.logged),
                "again": _number(each.again),
            }
            for name, each in found.examples
        ],
    }


def write_metrics(found: Parity, file: Path) -> None:
    """Write one sample a feature in Prometheus' text format; its node exporter's textfile collector takes it up."""
    registry = CollectorRegistry()
    made = {
        name: Gauge(f"fraud_parity_{name}", about, ["feature"], registry=registry)
        for name, about in (
            ("equal_share", "Share of decisions whose logged feature is what the lake makes it"),
            ("largest_difference", "Largest difference between the logged feature and the lake's"),
            ("explained", "Decisions whose feature differs for a recorded cause"),
            ("unexplained", "Decisions whose feature differs, and nothing recorded says why"),
        )
    }
    for each in found.features:
        values = (
            each.equal / each.compared if each.compared else math.nan,
            each.largest,
            each.compared - each.equal - each.unexplained,
            each.unexplained,
        )
        for gauge, value in zip(made.values(), values, strict=True):
            gauge.labels(each.name).set(value)
    Gauge("fraud_parity_decisions", "Decisions compared", registry=registry).set(found.compared)
    write_to_textfile(str(file), registry)


def _share(each: Feature) -> str:
    return f"{each.equal / each.compared:.3%}" if each.compared else "-"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
