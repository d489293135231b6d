"""The model call, one row: ONNX Runtime as the scorer calls it, beside LightGBM's own two ways to predict."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure, Section, at_most
from bench.peers import mlflow_serve
from clients import mlflow
from errors import ModelError
from scoring import manifest
from scoring.model import Model, load

CALLS = 5_000
FEW = 500
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Champion:
    """The champion as the scorer loads it, and its two files for the peers."""

    model: Model
    onnx: bytes
    text: str
    booster: lightgbm.Booster

    def rows(self, count: int) -> Rows:
        """Return (count, features) float32 rows that reach every branch: drawn around the thresholds of the trees."""
        rng = np.random.default_rng(0)
        nodes = self.booster.trees_to_dataframe()
        columns = []
        for name in self.booster.feature_name():
            thresholds = nodes.loc[nodes["split_feature"] == name, "threshold"].astype(float).to_numpy()
            drawn = rng.choice(thresholds, count) if len(thresholds) else np.zeros(count)
            columns.append(drawn * rng.normal(1, 0.1, count))
        return np.stack(columns, axis=1).astype(np.float32)


def champion() -> Champion:
    """Read the champion from MLflow, verified; ModelError when there is none yet."""
    version = mlflow.by_alias(manifest.REGISTERED_NAME, manifest.CHAMPION)
    if version is None:
        raise ModelError("there is no champion yet; `python -m ml train` makes one")
    names = (manifest.MANIFEST_FILE, *manifest.FILES)
    files = {name: mlflow.download(version, name) for name in names}
    vouched = files.pop(manifest.MANIFEST_FILE)
    model = load(str(version.number), vouched, version.tags.get(manifest.SHA_TAG), files)
    text = files[manifest.TEXT_FILE].decode()
    return Champion(model, files[manifest.ONNX_FILE], text, lightgbm.Booster(model_str=text))


def measure(rounds: int = 5) -> Section:
    """Time single calls, the ways alternating; each run gives one p50 and one p99."""
    found = champion()
    rows = found.rows(CALLS)
    ways: dict[str, tuple[Callable[[Rows], Any], int]] = {
        "score (ONNX Runtime)": (found.model.score, CALLS),
        "Booster.predict": (lambda row: found.booster.predict(row, num_threads=1), FEW),
        "LGBMClassifier.predict_proba": (mlflow_serve.classifier(found.text).predict_proba, FEW),
        "contributions, for the reasons": (found.model.contributions, FEW),
    }
    for call, _ in ways.values():
        _times(call, rows[:FEW])
    quantiles: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (call, count) in ways.items():
            quantiles[name].append(np.percentile(_times(call, rows[:count]), [50, 99]))
    section = Section(f"Model call, one row (champion, version {found.model.version})")
    for at, (name, runs) in enumerate(quantiles.items()):
        section.figures += [
            Figure(f"{name} p50", "ms", [float(run[0]) for run in runs]),
            Figure(f"{name} p99", "ms", [float(run[1]) for run in runs], at_most(0.1) if at == 0 else None),
        ]
    return section


def _times(call: Callable[[Rows], Any], rows: Rows) -> NDArray[np.float64]:
    """Return the milliseconds of each call, row by row."""
    times = []
    for at in range(len(rows)):
        row = rows[at : at + 1]
        started = perf_counter_ns()
        call(row)
        times.append(perf_counter_ns() - started)
    return np.array(times) / 1e6
