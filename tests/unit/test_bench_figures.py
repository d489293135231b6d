"""A figure says its median and whether it kept its target, and never turns a failure into a pass."""

import math

import pytest

from bench.figures import Figure, Section, at_least, at_most, number, ratios


def test_verdict_follows_the_median() -> None:
    """One lucky run does not make a figure ok, one unlucky run does not make it missed."""
    assert Figure("rate", "/s", [1, 9, 30], at_least(10)).verdict == "missed"
    assert Figure("rate", "/s", [1, 11, 30], at_least(10)).verdict == "ok"
    assert Figure("p99", "ms", [1, 9, 30], at_most(10)).verdict == "ok"
    assert Figure("p99", "ms", [1, 11, 30], at_most(10)).verdict == "missed"
    assert Figure("p99", "ms", [3.0]).verdict == ""


def test_nothing_measured_is_missed() -> None:
    """A figure without runs, or whose run is NaN, misses its target either way."""
    assert Figure("p99", "ms", [], at_most(10)).verdict == "missed"
    assert Figure("rate", "/s", [math.nan], at_least(10)).verdict == "missed"


def test_ratios_pair_alternated_runs() -> None:
    """Ratios are taken run by run, and runs that do not pair are refused."""
    assert ratios([2, 6], [1, 2]) == [2, 3]
    with pytest.raises(ValueError):
        ratios([1.0], [1.0, 2.0])


def test_table_and_json_show_every_figure() -> None:
    """A section's table has a row for each figure, and its JSON carries the runs."""
    section = Section("Scorer", [Figure("p50", "ms", [1.0, 3.0, 2.0], at_most(2)), Figure("rate", "/s", [])])
    assert section.table().row_count == 2
    assert section.figures[0].as_dict() == {
        "name": "p50",
        "unit": "ms",
        "value": 2.0,
        "runs": [1.0, 3.0, 2.0],
        "target": "<= 2.00",
        "verdict": "ok",
        "note": "",
    }


@pytest.mark.parametrize(("value", "text"), [(25_000, "25,000"), (1.5, "1.50"), (0.0079, "0.0079"), (42.42, "42.4")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """Numbers are shown with about three significant digits."""
    assert number(value) == text
