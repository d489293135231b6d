"""A trained model in a real MLflow: logged, registered, found, promoted, and never by mistake."""

import json
import time
from dataclasses import replace
from datetime import date
from uuid import uuid4

import lightgbm as lgb
import numpy as np
import pytest

from clients import mlflow
from errors import InputError, ModelError, UnreachableError
from ml.evaluation import report
from ml.registry import artifacts, versions
from ml.training.export import floor_thresholds
from scoring import manifest as manifests
from scoring.manifest import CHAMPION, FILES, MANIFEST_FILE, SHA_TAG
from settings import settings
from tests.unit.ml_tables import outcome

VERSIONS = {"silver.transactions": 12, "gold.card_features_daily": 4}


@pytest.fixture(scope="module")
def result():
    return outcome()


@pytest.fixture(scope="module")
def worse(result):
    """The same test, a model that learned from labels drawn by lot."""
    X = result.test.X
    lots = np.random.default_rng(1).integers(0, 2, len(X))
    return replace(
        result, booster=floor_thresholds(lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(X, lots), 20))
    )


@pytest.fixture
def name(stack, monkeypatch):
    """A registered model of the test's own: the stack may have a champion that others use."""
    chosen = f"fraud-scorer-test-{uuid4().hex[:8]}"
    monkeypatch.setattr(versions, "REGISTERED_NAME", chosen)
    monkeypatch.setattr(versions, "EXPERIMENT", chosen)
    return chosen


def log(result):
    built = artifacts.build(result, VERSIONS)
    table = report.as_dict(result, VERSIONS)
    return versions.log(built, artifacts.pictures(result, VERSIONS, table)), built


def test_a_logged_model_is_found_whole(name, result):
    """Version, tag, manifest and files come back as they were trained, and the run tells how it was made."""
    number, built = log(result)
    version = mlflow.by_number(name, number)
    assert version is not None
    content = mlflow.download(version, MANIFEST_FILE)
    found = manifests.read(content, version.tags[SHA_TAG])
    manifests.verify(found, {file: mlflow.download(version, file) for file in FILES})
    assert found == built.manifest
    client = mlflow.writer()
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["delta_version.silver.transactions"] == "12"
    assert run.data.params["train_from"] == "2024-06-01"
    assert run.data.params["definition.label_delay_days"]
    assert run.data.metrics["test_average_precision"] == found.metrics["test_average_precision"]
    kept = {item.path for item in client.list_artifacts(version.run_id)}
    assert kept == {"model", "evaluation.json", "importances.json", "importances.png", "delta_versions.json"}
    table = json.loads(
        mlflow.download(replace(version, folder=version.folder.removesuffix("/model")), "evaluation.json")
    )
    assert table["sets"][0]["models"][0]["average_precision"] == found.metrics["test_average_precision"]


def test_the_alias_moves_only_for_a_model_that_is_not_worse(name, result, worse):
    """First come, first champion; an equal one may follow, a worse one may not, and a person may all the same."""
    assert mlflow.by_alias(name, CHAMPION) is None
    assert versions.verdict(result)[0]
    first, _ = log(result)
    assert mlflow.by_alias(name, CHAMPION) is None, "logging alone promotes nothing"
    versions.promote(first)
    assert mlflow.by_alias(name, CHAMPION).number == first
    assert versions.verdict(result)[0]
    better, why = versions.verdict(worse)
    assert not better
    assert f"version {first}" in why
    second, _ = log(worse)
    versions.promote(second)
    assert mlflow.by_alias(name, CHAMPION).number == second


def test_a_champion_that_saw_the_test_is_not_compared(name, result):
    """A champion trained on labels newer than the test's beginning would win by memory: a person must choose."""
    number, _ = log(result)
    versions.promote(number)
    earlier = replace(result, split=replace(result.split, train_to=date(2024, 6, 20), test_from=date(2024, 6, 28)))
    better, why = versions.verdict(earlier)
    assert not better
    assert "may have seen this test" in why


def test_a_champion_of_other_features_gives_way(name, result, monkeypatch):
    """A champion whose schema hash is not ours cannot serve here, so the new model takes its place, and says why."""
    number, _ = log(result)
    versions.promote(number)
    monkeypatch.setattr("features.SCHEMA_HASH", "0" * 64)
    better, why = versions.verdict(result)
    assert better
    assert "0" * 64 in why


def test_a_tampered_version_is_not_promoted(name, result):
    """A version whose tag does not vouch for its manifest never becomes champion; an unknown one is named."""
    number, _ = log(result)
    mlflow.writer().set_model_version_tag(name, str(number), SHA_TAG, "f" * 64)
    with pytest.raises(ModelError, match="SHA-256"):
        versions.promote(number)
    with pytest.raises(InputError, match="no version 99"):
        versions.promote(99)
    assert mlflow.by_alias(name, CHAMPION) is None


def test_a_dead_server_is_told_within_seconds(stack, result, monkeypatch):
    """Neither reading nor logging hangs on a server that is gone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    started = time.monotonic()
    try:
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
            mlflow.by_alias("fraud-scorer", CHAMPION)
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
            log(result)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert time.monotonic() - started < 30
