"""Dashboards as files: what differs from one installation to the next leaves no trace in them."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from errors import InputError
from infra.superset import assets, roles

OURS = assets.read(assets.ASSETS)


def elsewhere(files: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the files as another installation would export them: other numbers, another order, other leavings."""
    draw = random.Random(seed)
    found = copy.deepcopy(files)
    for path, content in found.items():
        if path.startswith("datasets/"):
            draw.shuffle(content["columns"])
            draw.shuffle(content["metrics"])
        if path.startswith("charts/"):
            content["params"] |= {"slice_id": draw.randrange(10**6), "dashboards": [draw.randrange(99)]}
            content["query_context"] = "{}"
        if path.startswith("dashboards/"):
            placed = [
                each
                for each in content["position"].values()
                if isinstance(each, dict) and "uuid" in each.get("meta", {})
            ]
            numbers = dict(
                zip((each["meta"]["chartId"] for each in placed), draw.sample(range(10**6), len(placed)), strict=True)
            )
            for each in placed:
                each["meta"]["chartId"] = numbers[each["meta"]["chartId"]]
            for each in content["metadata"].get("native_filter_configuration", []):
                each["chartsInScope"] = list(numbers.values())
                each["scope"]["excluded"] = [numbers[number] for number in each["scope"]["excluded"]]
    shuffled = list(found.items())
    draw.shuffle(shuffled)
    return {f"{path.removesuffix('.yaml')}_{draw.randrange(99)}.yaml": content for path, content in shuffled}


@given(st.integers(0, 10**9))
def test_an_export_from_anywhere_gives_the_same_files(seed: int) -> None:
    """Numbers, order and leavings of an installation do not reach the repository."""
    assert assets.stable(elsewhere(OURS, seed)) == OURS


def test_what_a_dashboard_excludes_keeps_meaning_the_same_chart() -> None:
    """A filter that leaves one chart out leaves that one out after another installation's numbers."""
    files = copy.deepcopy(OURS)
    board = files["dashboards/fraud_today.yaml"]
    board["metadata"]["native_filter_configuration"][0]["scope"]["excluded"] = [3]
    board["metadata"]["timed_refresh_immune_slices"] = [2]
    board["metadata"]["chart_configuration"] = {"1": {"id": 1, "crossFilters": {"scope": "global"}}}
    assert assets.stable(elsewhere_with(files)) == files


def elsewhere_with(files: dict[str, Any]) -> dict[str, Any]:
    """Return the files with a hundred added to each chart's number on the first dashboard."""
    found = copy.deepcopy(files)
    board = found["dashboards/fraud_today.yaml"]
    for each in board["position"].values():
        if isinstance(each, dict) and "chartId" in each.get("meta", {}):
            each["meta"]["chartId"] += 100
    metadata = board["metadata"]
    metadata["native_filter_configuration"][0]["scope"]["excluded"] = [103]
    metadata["timed_refresh_immune_slices"] = [102]
    metadata["chart_configuration"] = {"101": {"id": 101, "crossFilters": {"scope": "global"}}}
    return found


def test_a_draft_and_what_only_it_uses_stay_out() -> None:
    """Only published dashboards are exported, with the charts, datasets and connections that they use."""
    files = copy.deepcopy(OURS)
    files["dashboards/risk_explorer.yaml"]["published"] = False
    found = assets.stable(files)
    assert "dashboards/risk_explorer.yaml" not in found
    assert "charts/cards_at_risk.yaml" not in found
    assert "datasets/cards_at_risk.yaml" not in found
    assert "charts/by_country.yaml" in found


def test_two_charts_of_one_name_are_refused() -> None:
    """Their files would be one: the error names the chart."""
    files = copy.deepcopy(OURS)
    files["charts/another.yaml"] = copy.deepcopy(files["charts/by_country.yaml"])
    with pytest.raises(InputError, match="two charts are called 'By country'"):
        assets.stable(files)


def test_the_files_hold_no_address_and_no_password() -> None:
    """The connection names a catalog; everything else is filled in when it is made."""
    assert {content["sqlalchemy_uri"] for path, content in OURS.items() if path.startswith("databases/")} == {
        "trino://lake/delta"
    }


def test_every_dashboard_is_shown_to_somebody() -> None:
    """roles.yaml names each dashboard of the repository, and no other."""
    slugs = {content["slug"] for path, content in OURS.items() if path.startswith("dashboards/")}
    assert roles.read().dashboards.keys() == slugs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("roles: {a: {like: [Gamma], sees: some}}\ndashboards: {}", "sees"),
        ("roles: {a: {like: [Gamma], sees: all}}\ndashboards: {d: [b]}", "shown to b"),
        ("roles: {a: {like: [Gamma], sees: all, may: everything}}\ndashboards: {}", "may"),
        ("roles: [", "roles.yaml"),
    ],
)
def test_a_wrong_file_of_roles_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """The error names the file and what is wrong in it."""
    file = tmp_path / "roles.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        roles.read(file)


def test_no_files_are_not_taken_for_no_dashboards(tmp_path: Path) -> None:
    """An empty or broken folder is refused before Superset is asked."""
    with pytest.raises(InputError, match="no dashboards"):
        assets.read(tmp_path)
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not YAML"):
        assets.read(tmp_path)


def test_each_chart_reads_a_mart_that_dbt_describes() -> None:
    """Every dataset is a model of the dbt project, with the columns that its description has."""
    described: dict[str, set[str]] = {}
    for path in (Path(assets.__file__).parents[2] / "dbt_project" / "models").rglob("*.yml"):
        for model in (yaml.safe_load(path.read_text()) or {}).get("models", []):
            described[model["name"]] = {column["name"] for column in model.get("columns", [])}
    for path, content in OURS.items():
        if path.startswith("datasets/"):
            assert {column["column_name"] for column in content["columns"]} == described[content["table_name"]]
