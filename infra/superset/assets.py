"""Dashboards as files: loaded into Superset from its own export form, and written back in one stable form.

Superset's export has what differs from one installation to the next: numbers of charts and datasets, times, the order
of columns. None of it is kept, so that two exports in a row, and one after an import, give the same files.
"""

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from errors import InputError
from infra.superset.api import Api

ASSETS = Path(__file__).parent / "assets"
ROOT = "assets"
METADATA = {"version": "1.0.0", "type": "assets"}
PASSING = frozenset({"slice_id", "dashboards", "url_params", "datasource", "chartsInScope", "tabsInScope"})
"""What Superset works out anew wherever it is loaded."""
Files = dict[str, Any]
"""Path below the folder to the content of the YAML file."""


def load(api: Api, folder: Path = ASSETS) -> list[str]:
    """Bring Superset to what the files say, keeping the ids of what it has; returns the dashboards' titles."""
    files = read(folder)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path, content in {"metadata.yaml": METADATA, **files}.items():
            bundle.writestr(f"{ROOT}/{path}", _text(content))
    api.upload("assets/import/", "bundle", packed.getvalue())
    return [content["dashboard_title"] for path, content in files.items() if path.startswith("dashboards/")]


def export(api: Api, folder: Path = ASSETS) -> list[str]:
    """Write Superset's published dashboards and what they use to `folder`; returns the paths that changed."""
    with zipfile.ZipFile(io.BytesIO(api.download("assets/export/"))) as bundle:
        names = [name for name in bundle.namelist() if name.endswith(".yaml")]
        exported = {name.partition("/")[2]: yaml.safe_load(bundle.read(name)) for name in names}
    wanted = {path: _text(content) for path, content in stable(exported).items()}
    known = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.yaml")}
    changed = sorted(path for path in wanted.keys() | known.keys() if wanted.get(path) != known.get(path))
    for path in changed:
        if path in wanted:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(wanted[path])
        else:
            (folder / path).unlink()
    return changed


def read(folder: Path) -> Files:
    """Return the files of `folder`; InputError when there are none or one is not YAML."""
    try:
        files = {
            str(path.relative_to(folder)): yaml.safe_load(path.read_text()) for path in sorted(folder.rglob("*.yaml"))
        }
    except yaml.YAMLError as error:
        raise InputError(f"a dashboard's file is not YAML: {error}") from error
    if not any(path.startswith("dashboards/") for path in files):
        raise InputError(f"{folder} has no dashboards; restore it from git")
    return files


def stable(exported: Mapping[str, Any]) -> Files:
    """Return the published dashboards of an export and what they use, without what differs between installations.

    InputError when two of a kind have one name: their files would be one.
    """
    kinds: dict[str, list[Any]] = {"dashboards": [], "charts": [], "datasets": [], "databases": []}
    for path, content in exported.items():
        kind = path.partition("/")[0]
        if kind in kinds:
            kinds[kind].append(content)
    dashboards = [each for each in kinds["dashboards"] if each["published"]]
    used = {each["meta"]["uuid"] for dashboard in dashboards for each in placed(dashboard)}
    charts = [each for each in kinds["charts"] if each["uuid"] in used]
    filters = [each for dashboard in dashboards for each in _targets(dashboard)]
    read_by = {each["dataset_uuid"] for each in charts} | {each["datasetUuid"] for each in filters}
    datasets = [each for each in kinds["datasets"] if each["uuid"] in read_by]
    connected = {each["database_uuid"] for each in datasets}
    databases = [each for each in kinds["databases"] if each["uuid"] in connected]
    files: Files = {}
    _add(files, "databases", "database_name", databases)
    _add(files, "datasets", "table_name", map(_dataset, datasets))
    _add(files, "charts", "slice_name", map(_chart, charts))
    _add(files, "dashboards", "dashboard_title", map(_dashboard, dashboards))
    return dict(sorted(files.items()))


def _dataset(content: dict[str, Any]) -> dict[str, Any]:
    ordered = {"columns": "column_name", "metrics": "metric_name"}
    return content | {
        part: sorted(content.get(part) or [], key=lambda each: str(each[name])) for part, name in ordered.items()
    }


def _chart(content: dict[str, Any]) -> dict[str, Any]:
    # The query that the explorer saw last is made again from the parameters.
    return content | {"params": _without(content["params"], PASSING), "query_context": None}


def _dashboard(content: dict[str, Any]) -> dict[str, Any]:
    charts = sorted(placed(content), key=lambda each: str(each["meta"]["uuid"]))
    numbers = {each["meta"]["chartId"]: number for number, each in enumerate(charts, 1)}
    for each in charts:
        each["meta"]["chartId"] = numbers[each["meta"]["chartId"]]
    return content | {"metadata": _renumbered(_without(content["metadata"], PASSING), numbers)}


def _renumbered(metadata: dict[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    for each in metadata.get("native_filter_configuration") or []:
        excluded = each.get("scope", {}).get("excluded", [])
        if excluded:
            each["scope"]["excluded"] = sorted(numbers[number] for number in excluded if number in numbers)
    for name in ("expanded_slices", "chart_configuration"):
        by_chart = metadata.get(name) or {}
        metadata[name] = {
            str(numbers[int(key)]): value | {"id": numbers[int(key)]} if isinstance(value, dict) else value
            for key, value in by_chart.items()
            if int(key) in numbers
        }
    if "timed_refresh_immune_slices" in metadata:
        immune = metadata["timed_refresh_immune_slices"]
        metadata["timed_refresh_immune_slices"] = sorted(numbers[number] for number in immune if number in numbers)
    return metadata


def placed(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the charts that stand on a dashboard, each with its place."""
    return [each for each in dashboard["position"].values() if isinstance(each, dict) and each.get("type") == "CHART"]


def _targets(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    filters = dashboard["metadata"].get("native_filter_configuration") or []
    return [target for each in filters for target in each.get("targets", []) if "datasetUuid" in target]


def _without(content: Any, names: frozenset[str]) -> Any:
    if isinstance(content, dict):
        return {name: _without(value, names) for name, value in content.items() if name not in names}
    return [_without(each, names) for each in content] if isinstance(content, list) else content


def _add(files: Files, kind: str, name: str, contents: Iterable[dict[str, Any]]) -> None:
    for content in contents:
        path = f"{kind}/{re.sub(r'[^a-z0-9]+', '_', content[name].lower()).strip('_')}.yaml"
        if path in files:
            raise InputError(f"two {kind} are called {content[name]!r}; rename one in Superset, then export again")
        files[path] = content


def _text(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=True, allow_unicode=True, width=120)
