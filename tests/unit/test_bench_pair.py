"""Old and new are compared figure by figure, round by round, and what got worse is named."""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import pair
from bench.__main__ import app
from errors import ServerError


def report(rate: float, p99: float, **more: float) -> pair.Report:
    figures = [("decisions", "decisions/s", rate), ("p99", "ms", p99), *((name, "x", v) for name, v in more.items())]
    return {"sections": [{"title": "s", "figures": [{"name": n, "unit": u, "value": v} for n, u, v in figures]}]}


def test_figures_of_both_sides_are_paired_by_round() -> None:
    """Medians are of each side, the ratio of each round's two; what only one side measures is left out."""
    found = pair.paired(
        [(report(100, 10), report(80, 10, new=3)), (report(50, 20), report(60, 30)), (report(10, 8), report(9, 8))]
    )
    assert set(found) == {("s", "decisions", "decisions/s"), ("s", "p99", "ms")}
    assert found["s", "decisions", "decisions/s"].ratio == pytest.approx(0.9)
    assert found["s", "p99", "ms"].old == [10, 20, 8]
    assert found["s", "p99", "ms"].ratio == 1
    assert pair.table(found, "c8a0259").row_count == 2
    assert [each["ratio"] for each in pair.as_dict(found)] == [pytest.approx(0.9), 1]


@pytest.mark.parametrize(
    ("unit", "ratio", "worse"),
    [
        ("decisions/s", 0.89, True),
        ("decisions/s", 0.91, False),
        ("x", 0.8, True),
        ("ms", 1.2, True),
        ("ms", 0.5, False),
        ("requests", math.nan, False),
    ],
)
def test_what_is_worse_by_more_than_a_tenth(unit: str, ratio: float, worse: bool) -> None:
    """Rates and factors are to be large, times small."""
    assert pair.is_worse(unit, ratio) is worse


def test_a_zero_before_has_no_ratio() -> None:
    """Nothing is said to be so many times nothing."""
    assert math.isnan(pair.paired([(report(0, 0), report(0, 0))])["s", "p99", "ms"].ratio)


def test_a_commit_that_there_is_not(tmp_path: Path) -> None:
    """A misspelt commit is named before anything is made."""
    with pytest.raises(ServerError, match="no-such-commit"):
        pair.sides("no-such-commit", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_part_that_there_is_not() -> None:
    """A misspelt part is named with those that there are."""
    result = CliRunner().invoke(app, ["pair", "--against", "HEAD", "--part", "preddict"])
    assert result.exit_code == 2
    assert "preddict" in result.output
