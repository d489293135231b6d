"""One measured figure: its runs, their median, its target and whether it was met; shown as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Target:
    """The bound that a figure should keep: `at_least` or at most `bound`, in the figure's unit."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Return whether `value` keeps the bound; a NaN (nothing was measured) does not."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """Return it as people write it: `>= 25,000`."""
        return f"{'>=' if self.at_least else '<='} {number(self.bound)}"


def at_least(bound: float) -> Target:
    """Return the target of a figure that should be large."""
    return Target(bound, at_least=True)


def at_most(bound: float) -> Target:
    """Return the target of a figure that should be small."""
    return Target(bound, at_least=False)


@dataclass(frozen=True)
class Figure:
    """A name, a unit, one value a run, the target if there is one, and a remark on how it was measured."""

    name: str
    unit: str
    runs: Sequence[float]
    target: Target | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median of the runs; NaN if there were none."""
        return median(self.runs) if self.runs else float("nan")

    @property
    def verdict(self) -> str:
        """`ok` or `missed`; empty without a target."""
        if self.target is None:
            return ""
        return "ok" if self.target.met(self.value) else "missed"

    def as_dict(self) -> dict[str, Any]:
        """Return what stands in the JSON report."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "runs": list(self.runs),
            "target": str(self.target) if self.target else None,
            "verdict": self.verdict or None,
            "note": self.note,
        }


@dataclass
class Section:
    """The figures of one part of the line."""

    title: str
    figures: list[Figure] = field(default_factory=list)

    def table(self) -> Table:
        """Return the section as a table: median, spread of the runs, target, verdict."""
        table = Table(title=self.title, title_justify="left", expand=False)
        table.add_column("figure")
        for name in ("median", "unit", "lowest", "highest", "runs", "target"):
            table.add_column(name, justify="right" if name != "unit" else "left", no_wrap=True)
        table.add_column("")
        table.add_column("note", style="dim")
        for figure in self.figures:
            colour = {"ok": "green", "missed": "red"}.get(figure.verdict, "")
            table.add_row(
                figure.name,
                number(figure.value),
                figure.unit,
                number(min(figure.runs, default=float("nan"))),
                number(max(figure.runs, default=float("nan"))),
                str(len(figure.runs)),
                str(figure.target) if figure.target else "",
                f"[{colour}]{figure.verdict}[/]" if colour else "",
                figure.note,
            )
        return table


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return ours over theirs, run by run; the runs must have alternated for it to mean anything."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def number(value: float) -> str:
    """Return `value` with about three significant digits and thousands separated."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.4g}"
