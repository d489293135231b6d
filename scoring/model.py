"""A loaded model: ONNX for scores, LightGBM's text form for contributions, and the manifest that vouches for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from errors import ModelError
from scoring import manifest as manifests
from scoring.manifest import Manifest, Sha256
from scoring.paths import Paths, lay_out

Rows = NDArray[np.float32]
AGREEMENT = 1e-4
"""Largest difference of probability between the two forms; thresholds floored to float32 leave 5e-7."""
SMOKE_ROWS = 64


@dataclass(frozen=True)
class Model:
    """One version of the model. `sha256` is its manifest's, which names the SHA-256 of every file."""

    version: str
    sha256: Sha256
    manifest: Manifest
    session: onnxruntime.InferenceSession
    input: str
    output: str
    paths: Paths

    def score(self, rows: Rows) -> NDArray[np.float64]:
        """Return each row's probability of fraud, shape (n,) float64, from `rows` of shape (n, features) float32."""
        found: NDArray[np.float32] = self.session.run([self.output], {self.input: rows})[0]
        return found[:, 1].astype(np.float64)

    def contributions(self, rows: Rows) -> NDArray[np.float64]:
        """Return what each feature adds to the log-odds, shape (n, features + 1); the last column is the base."""
        return self.paths.contributions(rows)

    def margins(self, rows: Rows) -> NDArray[np.float64]:
        """Return the log-odds of fraud of each row, shape (n,), by LightGBM itself."""
        return np.asarray(self.paths.booster.predict(rows, raw_score=True, num_threads=1), dtype=np.float64)


def load(version: str, manifest: bytes, expected_sha256: Sha256 | None, files: Mapping[str, bytes]) -> Model:
    """Return the model if every file is the trained one, it fits this program's features and its two forms agree.

    `expected_sha256` is of the manifest, as registered. ModelError says which of these does not hold.
    """
    read = manifests.read(manifest, expected_sha256)
    manifests.verify(read, files)
    session, taken, given = _session(files[manifests.ONNX_FILE], len(read.features))
    try:
        booster = lightgbm.Booster(model_str=files[manifests.TEXT_FILE].decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise ModelError(f"{manifests.TEXT_FILE} of version {version} cannot be loaded: {error}") from error
    if booster.num_feature() != len(read.features):
        raise ModelError(f"{manifests.TEXT_FILE} takes {booster.num_feature()} features, not {len(read.features)}")
    model = Model(version, manifests.sha256(manifest), read, session, taken, given, lay_out(booster))
    _smoke(model)
    return model


def _session(content: bytes, width: int) -> tuple[onnxruntime.InferenceSession, str, str]:
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # two threads change the order of a sum, and so its last bits
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions share no base class
        raise ModelError(f"{manifests.ONNX_FILE} cannot be loaded: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].shape[1:] != [width]:
        found = [(each.name, each.shape) for each in inputs]
        raise ModelError(f"{manifests.ONNX_FILE} takes {found}, not one input of shape (n, {width})")
    wide = [each.name for each in outputs if each.type == "tensor(float)" and each.shape[-1:] == [2]]
    if len(wide) != 1:
        found = [(each.name, each.shape) for each in outputs]
        raise ModelError(f"{manifests.ONNX_FILE} gives {found}, not probabilities of shape (n, 2)")
    return session, inputs[0].name, wide[0]


def _smoke(model: Model) -> None:
    """Score random rows, a third of whose values are missing, and one row of nothing but missing, by both forms."""
    random = np.random.default_rng(0)
    rows = random.lognormal(2, 2, (SMOKE_ROWS, len(model.manifest.features))).astype(np.float32)
    rows[random.random(rows.shape) < 1 / 3] = np.nan
    rows[-1] = np.nan
    scores, expected = model.score(rows), 1 / (1 + np.exp(-model.margins(rows)))
    if not (np.isfinite(scores).all() and (scores >= 0).all() and (scores <= 1).all()):
        raise ModelError(f"version {model.version} gives scores that are no probabilities")
    worst = float(np.abs(scores - expected).max())
    if worst > AGREEMENT:
        raise ModelError(f"version {model.version}: its ONNX and text forms differ by up to {worst:.2g} on random "
                         f"rows, more than {AGREEMENT:g}: export the model again")  # fmt: skip
    one_by_one = np.concatenate([model.score(row[None, :]) for row in rows])
    if not np.array_equal(scores, one_by_one):
        raise ModelError(f"version {model.version} scores a row alone otherwise than in a batch")
