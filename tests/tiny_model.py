"""A small real model on random data, with its manifest, for tests that need one before any training was done."""

from datetime import UTC, datetime
from functools import cache

import lightgbm
import numpy as np

import features
from ml.training.export import floor_thresholds, to_onnx, to_text
from scoring import manifest as manifests
from scoring.manifest import Manifest, Period
from scoring.model import Model, load
from settings import definitions

Files = dict[str, bytes]


@cache
def files(seed: int = 0) -> Files:
    """Return the manifest and the files it names: fraud is likelier for large amounts at night and risky merchants."""
    random = np.random.default_rng(seed)
    width = len(features.NAMES)
    rows = random.lognormal(2, 1.5, (4_000, width)).astype(np.float32)
    for flag in ("is_night", "is_cross_border", "is_card_present"):
        rows[:, features.NAMES.index(flag)] = random.random(len(rows)) < 0.3
    rows[random.random(rows.shape) < 0.1] = np.nan
    known = np.nan_to_num(rows)
    odds = np.log1p(known[:, features.NAMES.index("amount")]) + 2 * known[:, features.NAMES.index("is_night")]
    fraud = odds + random.normal(size=len(rows)) > 5
    return trained(rows, fraud, seed)


def trained(rows: np.ndarray, fraud: np.ndarray, seed: int = 0) -> Files:
    """Return the manifest and files of a model trained on vectors and what they were."""
    booster = floor_thresholds(
        lightgbm.train(
            {"objective": "binary", "num_leaves": 15, "verbose": -1, "seed": seed, "num_threads": 1},
            lightgbm.Dataset(rows, fraud),
            num_boost_round=30,
        )
    )
    content = {manifests.ONNX_FILE: to_onnx(booster), manifests.TEXT_FILE: to_text(booster)}
    day = datetime(2026, 1, 1, tzinfo=UTC)
    manifest = Manifest(
        created_at=day,
        schema_hash=features.SCHEMA_HASH,
        features=features.NAMES,
        definitions=definitions().model_dump(),
        threshold=0.5,
        files=manifests.digests(content),
        training=Period(first=day, last=day, as_of=day, rows=len(rows), cards=100, frauds=int(fraud.sum())),
    )
    return {manifests.MANIFEST_FILE: manifest.to_bytes(), **content}


@cache
def model(seed: int = 0, version: str = "1") -> Model:
    """Return the loaded model."""
    return opened(files(seed), version)


def opened(found: Files, version: str = "1") -> Model:
    """Return a model of its files, loaded."""
    content = found[manifests.MANIFEST_FILE]
    return load(version, content, manifests.sha256(content), found)
