"""A trained model as the files that are registered: ONNX, text, the manifest that vouches for both, and pictures."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import numpy as np

import features
from errors import ModelError
from ml.evaluation.experiment import MODEL, Result
from ml.periods import midnight_us
from ml.training.booster import parameters
from ml.training.export import to_onnx, to_text
from scoring.manifest import ONNX_FILE, TEXT_FILE, Manifest, Period, digests
from scoring.model import INPUT, PROBABILITIES, open_session
from settings import definitions

AGREE = 1e-5
"""Largest difference of a probability between ONNX and LightGBM: above what float32 sums of many trees lose (7e-7 was
seen), far below a row that goes the other way at a threshold (1e-3 and more)."""


@dataclass(frozen=True)
class Artifacts:
    """The files of a model by name, and its manifest."""

    manifest: Manifest
    files: dict[str, bytes]


def build(result: Result, versions: dict[str, int]) -> Artifacts:
    """Return the files and the manifest of a result's model; ModelError if ONNX and LightGBM differ on its test."""
    files = {ONNX_FILE: to_onnx(result.booster), TEXT_FILE: to_text(result.booster)}
    compare(files, result.test.X)
    split, trained = result.split, result.trained
    manifest = Manifest(
        created_at=datetime.now(UTC),
        schema_hash=features.SCHEMA_HASH,
        features=features.NAMES,
        definitions=definitions().model_dump(),
        threshold=result.choice.threshold,
        files=digests(files),
        training=Period(
            first=_moment(split.train_us[0]),
            last=_moment(split.train_us[1]),
            as_of=_moment(midnight_us(split.test_from)),
            rows=trained.rows,
            cards=trained.cards,
            frauds=trained.frauds,
        ),
        delta_versions=versions,
        metrics=metrics(result),
        parameters=_parameters(result),
    )
    return Artifacts(manifest, files)


def compare(files: dict[str, bytes], X: np.ndarray) -> float:
    """Return the largest difference between the two forms on X (n, features); ModelError if it exceeds AGREE."""
    session = open_session(files[ONNX_FILE], X.shape[1])
    theirs = session.run([PROBABILITIES], {INPUT: X})[0][:, 1]
    ours = np.asarray(lgb.Booster(model_str=files[TEXT_FILE].decode()).predict(X))
    largest = float(np.abs(theirs - ours).max())
    if largest > AGREE:
        worst = int(np.abs(theirs - ours).argmax())
        raise ModelError(
            f"ONNX and LightGBM differ by {largest:.2g} on test row {worst}: ml/training/export.py is wrong"
        )
    return largest


def metrics(result: Result) -> dict[str, float]:
    """Return every figure under one name, fit for MLflow; what cannot be measured is left out."""
    found = {"validation_average_precision": result.choice.average_precision, "threshold": result.choice.threshold}
    for row_set, prefix in zip(result.sets, ("test", "test_unknown_cards"), strict=True):
        found |= {
            f"{prefix}_rows": row_set.rows,
            f"{prefix}_cards": row_set.cards,
            f"{prefix}_frauds": row_set.frauds,
            f"{prefix}_prevalence": row_set.prevalence,
            f"{prefix}_card_precision_ceiling": row_set.ceiling,
        }
        for model, scores in row_set.models.items():
            name = prefix if model == MODEL else f"{prefix}_{model.replace(' ', '_')}"
            found |= {f"{name}_{metric}": value for metric, value in asdict(scores).items()}
    for outage in result.outages:
        name = outage.name.replace(" ", "_")
        found |= {f"outage_{name}_{metric}": value for metric, value in asdict(outage).items() if metric != "name"}
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def importances(booster: lgb.Booster) -> dict[str, float]:
    """Return each feature's share of the total gain, largest first."""
    gain = booster.feature_importance("gain")
    share = gain / max(gain.sum(), 1e-12)
    order = np.argsort(-share, kind="stable")
    return {features.NAMES[i]: float(share[i]) for i in order}


def pictures(result: Result, versions: dict[str, int], table: dict[str, Any]) -> dict[str, bytes]:
    """Return what is kept beside the model for people: the table, importances as JSON and as a plot."""
    from io import BytesIO

    from matplotlib.figure import Figure

    shares = importances(result.booster)
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(shares)[::-1], list(shares.values())[::-1])
    axes.set_xlabel("share of total gain")
    axes.set_title("What the model looks at")
    plot = BytesIO()
    figure.savefig(plot, format="png", dpi=100)
    return {
        "evaluation.json": json.dumps(table, indent=2).encode(),
        "importances.json": json.dumps(shares, indent=2).encode(),
        "importances.png": plot.getvalue(),
        "delta_versions.json": json.dumps(versions, indent=2).encode(),
    }


def _parameters(result: Result) -> dict[str, str | int | float | bool | None]:
    chosen, split = result.choice, result.split
    learned = {k: v for k, v in parameters(chosen.max_bin, result.trained.rows).items() if not isinstance(v, list)}
    return learned | {
        "max_bin_for_amounts": chosen.max_bin,
        "rounds": chosen.rounds,
        "window": chosen.window,
        "train_from": str(split.train_from),
        "train_to": str(split.train_to),
        "delay_days": split.delay_days,
        "test_from": str(split.test_from),
        "test_to": str(split.test_to),
        "k": result.k,
    }


def _moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC)
