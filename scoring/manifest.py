"""The manifest of a model: which files it is, known by SHA-256, and under which definitions it may be used.

In MLflow a version of the registered model `fraud-scorer` has the artifact folder `model/` with `manifest.json` and
the files it names; the version's tag `manifest_sha256` vouches for the manifest, and the manifest for the files.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import features
from errors import ModelError

REGISTERED_NAME = "fraud-scorer"
CHAMPION = "champion"
CHALLENGER = "challenger"
"""Scores beside the champion, and decides nothing."""
ARTIFACT_FOLDER = "model"
MANIFEST_FILE = "manifest.json"
ONNX_FILE = "model.onnx"
TEXT_FILE = "model.txt"
FILES = (ONNX_FILE, TEXT_FILE)
SHA_TAG = "manifest_sha256"

Sha256 = str
_SHA = "^[0-9a-f]{64}$"


class Period(BaseModel):
    """Event times of the payments a model was fitted on: first inclusive, last exclusive; labels known before as_of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: datetime
    last: datetime
    as_of: datetime
    rows: int = Field(ge=1)
    cards: int = Field(ge=1)
    frauds: int = Field(ge=1)


class Manifest(BaseModel):
    """What vouches for a model. `threshold`: probability at and above which a payment goes to review.

    `definitions` (delays, priors, currency) are kept to be read; the schema hash already covers them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    created_at: datetime
    schema_hash: str = Field(pattern=_SHA)
    features: tuple[str, ...]
    definitions: dict[str, int | float | str]
    threshold: float = Field(gt=0, lt=1)
    files: dict[str, Sha256]
    training: Period
    delta_versions: dict[str, int] = {}
    metrics: dict[str, float] = {}
    parameters: dict[str, str | int | float | bool | None] = {}

    @model_validator(mode="after")
    def names_every_file(self) -> Self:
        """Refuse a manifest that leaves out a file or carries something that is not a SHA-256."""
        if set(self.files) != set(FILES):
            raise ValueError(f"files are {sorted(self.files)}, a model has exactly {sorted(FILES)}")
        if "reporting_currency" not in self.definitions:
            raise ValueError("definitions lack reporting_currency, in which reasons are told")
        wrong = [
            name for name, digest in self.files.items() if len(digest) != 64 or set(digest) - set("0123456789abcdef")
        ]
        if wrong:
            raise ValueError(f"files {wrong}: not a SHA-256 in lower-case hex")
        return self

    def to_bytes(self) -> bytes:
        """Return the bytes to store as `manifest.json`; `sha256` of them goes into the version's tag."""
        return self.model_dump_json(indent=2).encode()


def sha256(content: bytes) -> Sha256:
    """Return the SHA-256 of `content` in hex."""
    return hashlib.sha256(content).hexdigest()


def digests(files: Mapping[str, bytes]) -> dict[str, Sha256]:
    """Return file name to SHA-256, as a manifest's `files` wants it."""
    return {name: sha256(files[name]) for name in FILES}


def read(content: bytes, expected_sha256: Sha256 | None) -> Manifest:
    """Parse a manifest and check that this program builds the very features the model was trained on.

    ModelError if its SHA-256 is not the one vouched for, if it cannot be parsed, or if its schema hash is not ours;
    the message names both hashes.
    """
    if expected_sha256 != sha256(content):
        raise ModelError(
            f"{MANIFEST_FILE} has SHA-256 {sha256(content)}, but {expected_sha256} was registered "
            f"(tag {SHA_TAG}): it was changed after registration; train again"
        )
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ModelError(f"{MANIFEST_FILE} cannot be read: {error}") from error
    if manifest.schema_hash != features.SCHEMA_HASH:
        raise ModelError(
            f"the model was trained on features of schema hash {manifest.schema_hash}, ours are "
            f"{features.SCHEMA_HASH}: train again or deploy the matching program"
        )
    if manifest.features != features.NAMES:
        raise ModelError(f"the model's features are not those, in order, of schema hash {features.SCHEMA_HASH}")
    return manifest


def verify(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Raise ModelError, naming both SHA-256, if a file is missing or is not the one that the manifest names."""
    for name, expected in manifest.files.items():
        if name not in files:
            raise ModelError(f"the manifest names {name}, which is missing")
        if (found := sha256(files[name])) != expected:
            raise ModelError(f"{name} has SHA-256 {found}, the manifest says {expected}: it is not the trained file")
