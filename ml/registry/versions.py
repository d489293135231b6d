"""The model registry: logs a run with its model's files, registers a version, and moves the champion's alias."""

import json
import tempfile
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import lightgbm as lgb

from clients import mlflow
from errors import InputError, ModelError
from ml.evaluation.experiment import Result
from ml.registry.artifacts import Artifacts
from scoring import manifest as manifests
from scoring.manifest import ARTIFACT_FOLDER, CHAMPION, MANIFEST_FILE, REGISTERED_NAME, SHA_TAG, TEXT_FILE, Manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "fraud-scorer"
SLACK = 0.005
"""Difference of average precision that is taken for chance."""


def log(artifacts: Artifacts, extras: dict[str, bytes]) -> int:
    """Log a run (parameters, metrics, files) and register its model; return the version's number."""
    client = mlflow.writer()
    content = artifacts.manifest.to_bytes()
    with mlflow.writing("log the training run"):
        run = client.create_run(_experiment(client), run_name=f"train {artifacts.manifest.created_at:%Y-%m-%d %H:%M}")
        try:
            _log_values(client, run.info.run_id, artifacts.manifest)
            with tempfile.TemporaryDirectory() as folder:
                _write(Path(folder) / ARTIFACT_FOLDER, artifacts.files | {MANIFEST_FILE: content})
                _write(Path(folder), extras)
                client.log_artifacts(run.info.run_id, folder)
            version = _register(
                client, f"{run.info.artifact_uri}/{ARTIFACT_FOLDER}", run.info.run_id, manifests.sha256(content)
            )
        except BaseException:
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        client.set_terminated(run.info.run_id)
    return version


def promote(number: int, alias: str = CHAMPION) -> None:
    """Make a version champion (or challenger) after checking its manifest and files; InputError if there is none."""
    version = mlflow.by_number(REGISTERED_NAME, number)
    if version is None:
        raise InputError(f"{REGISTERED_NAME} has no version {number}; `python -m ml train` registers one")
    found = _manifest(version)
    manifests.verify(found, {name: mlflow.download(version, name) for name in found.files})
    client = mlflow.writer()
    with mlflow.writing(f"make version {number} the {alias}"):
        client.set_registered_model_alias(REGISTERED_NAME, alias, str(number))


def verdict(result: Result) -> tuple[bool, str]:
    """Say whether a new model should be champion, and why: it must not be worse on its test than the champion.

    A champion that was trained on payments of that test (or on labels known only after it began) has seen the
    answers: then nothing can be said, and the choice is left to a person.
    """
    champion = mlflow.by_alias(REGISTERED_NAME, CHAMPION)
    if champion is None:
        return True, "there was no champion"
    try:
        found = _manifest(champion)
        files = {TEXT_FILE: mlflow.download(champion, TEXT_FILE)}
        manifests.verify(found.model_copy(update={"files": {TEXT_FILE: found.files[TEXT_FILE]}}), files)
    except ModelError as error:
        return True, f"the champion, version {champion.number}, cannot be used here: {error}"
    if found.training.as_of > _moment(result.split.test_from):
        return False, (
            f"the champion, version {champion.number}, learned from labels known up to "
            f"{found.training.as_of:%Y-%m-%d}, so it may have seen this test from {result.split.test_from}"
        )
    theirs = result.test.average_precision(lgb.Booster(model_str=files[TEXT_FILE].decode()))
    ours = result.test.average_precision(result.booster)
    compared = f"average precision {ours:.4f} against {theirs:.4f} of the champion, version {champion.number}"
    return ours >= theirs - SLACK, compared


def _manifest(version: mlflow.Version) -> Manifest:
    return manifests.read(mlflow.download(version, MANIFEST_FILE), version.tags.get(SHA_TAG))


def _log_values(client: "MlflowClient", run_id: str, found: Manifest) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(found.created_at.timestamp() * 1_000)
    versions = {f"delta_version.{table}": version for table, version in found.delta_versions.items()}
    params = found.parameters | versions | {f"definition.{name}": value for name, value in found.definitions.items()}
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in found.metrics.items()],
        params=[Param(name, str(value)) for name, value in params.items()],
        tags=[RunTag("schema_hash", found.schema_hash), RunTag("files", json.dumps(found.files))],
    )


def _experiment(client: "MlflowClient") -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(found.experiment_id if found else client.create_experiment(EXPERIMENT))


def _register(client: "MlflowClient", folder: str, run_id: str, sha256: str) -> int:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(REGISTERED_NAME, description="Scores a card payment: probability of fraud.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(REGISTERED_NAME, folder, run_id, tags={SHA_TAG: sha256}, await_creation_for=0)
    return int(made.version)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _moment(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
