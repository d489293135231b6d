"""Loads the model that a record names from its archived files, champion or not, verified by its SHA-256."""

from clients import mlflow
from errors import ModelError, UnreachableError
from scoring import manifest as manifests
from scoring.model import Model, load
from serving.models.cache import newest
from settings import lakehouse_home

CACHES = ("stream", "scorer")


def archived(version: str | None, sha256: str | None) -> tuple[Model, str]:
    """Return a model by its files in MLflow or, while that is away, in a scorer's cache; verified by SHA-256.

    ModelError if the files are others or are nowhere; ServerError if MLflow has them and does not hand them out.
    """
    if version is None or sha256 is None or not version.isdecimal():
        raise ModelError(f"the record names no model: version {version}, SHA-256 {sha256}")
    try:
        found = mlflow.by_number(manifests.REGISTERED_NAME, int(version))
        if found is None:
            raise ModelError(f"MLflow has no version {version} of {manifests.REGISTERED_NAME}")
        files = {name: mlflow.download(found, name) for name in (manifests.MANIFEST_FILE, *manifests.FILES)}
        return verified(version, sha256, files), "MLflow"
    except UnreachableError as error:
        for name in CACHES:
            kept = newest(lakehouse_home() / "cache" / name)
            if kept and kept.sha256 == sha256 and manifests.MANIFEST_FILE in kept.files:
                return verified(version, sha256, dict(kept.files)), f"cache/{name}"
        raise ModelError(f"{error}; nor are the files of {sha256} kept under {lakehouse_home() / 'cache'}") from error


def verified(version: str, sha256: str, files: dict[str, bytes]) -> Model:
    """Load a model whose manifest has to have `sha256`; ModelError naming both if it has another."""
    manifest = files[manifests.MANIFEST_FILE]
    if (other := manifests.sha256(manifest)) != sha256:
        raise ModelError(
            f"the archive's version {version} has a manifest of SHA-256 {other}, the record says {sha256}:"
            " it is not the model that decided"
        )
    return load(version, manifest, sha256, files)
