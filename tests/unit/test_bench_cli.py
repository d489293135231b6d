"""`python -m bench` reports every figure, and says which part it could not measure."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import suite
from bench.__main__ import PARTS, app
from bench.figures import Figure, Section, at_most
from errors import UnreachableError


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the measurements, which need the stack: each part has one figure, Bronze cannot be measured."""
    asked: list[str] = []

    def measure(part: str, *, quick: bool) -> list[Section]:
        asked.append(part)
        if part == "bronze":
            raise UnreachableError("kafka 127.0.0.1:9 does not answer")
        return [Section(part, [Figure("p99", "ms", [3.0 if quick else 1.0], at_most(2))])]

    monkeypatch.setattr(suite, "measure", measure)
    return asked


def test_without_a_command_everything_is_measured(measured: list[str], tmp_path: Path) -> None:
    """All parts are tried; one that fails is named, the others stand in the report, and the exit code tells."""
    report = tmp_path / "figures.json"
    result = CliRunner().invoke(app, ["--json", str(report)])
    found = json.loads(report.read_text())
    assert measured == list(PARTS)
    assert result.exit_code == 1
    assert found["not_measured"] == {"bronze": "kafka 127.0.0.1:9 does not answer"}
    assert [section["title"] for section in found["sections"]] == [part for part in PARTS if part != "bronze"]
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["packages"]["onnxruntime"]


def test_one_part_and_a_missed_target(measured: list[str], tmp_path: Path) -> None:
    """A sub-command measures its part alone; a missed target is reported, not an error."""
    report = tmp_path / "figures.json"
    result = CliRunner().invoke(app, ["model", "--quick", "--json", str(report)])
    assert measured == ["model"]
    assert result.exit_code == 0
    assert json.loads(report.read_text())["sections"][0]["figures"][0]["verdict"] == "missed"
    assert "1 of the figures with a target missed it: p99" in result.output
