"""A loaded model: ONNX for scores, LightGBM's text form for contributions, and the manifest that vouches for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from errors import ModelError
from scoring import manifest as manifests
from scoring import trees
from scoring.manifest import Manifest, Sha256
from scoring.shapley import Explainer

Rows = NDArray[np.float32]
Floats = NDArray[np.float64]
INPUT, PROBABILITIES, MARGIN = "features", "probabilities", "margin"
"""Names in the ONNX graph: rows of float32 in; the probabilities of genuine and fraud, and fraud's log-odds out."""
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
    explainer: Explainer

    def score(self, rows: Rows) -> Floats:
        """Return each row's probability of fraud, shape (n,) float64, from `rows` of shape (n, features) float32."""
        return self.score_with_margins(rows)[0]

    def score_with_margins(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return each row's probability of fraud and its log-odds, both of shape (n,) float64."""
        probabilities, margins = self.session.run([PROBABILITIES, MARGIN], {INPUT: rows})
        return probabilities[:, 1].astype(np.float64), margins[:, 0].astype(np.float64)

    def contributions(self, rows: Rows) -> Floats:
        """Return what each feature adds to the log-odds, shape (n, features); with the base they sum to the margin."""
        return self.explainer.contributions(rows)


def load(version: str, manifest: bytes, expected_sha256: Sha256 | None, files: Mapping[str, bytes]) -> Model:
    """Return the model if every file is the trained one, it fits this program's features and its two forms agree.

    `expected_sha256` is of the manifest, as registered. ModelError says which of these does not hold.
    """
    read = manifests.read(manifest, expected_sha256)
    manifests.verify(read, files)
    width = len(read.features)
    taken, forest = trees.read(files[manifests.TEXT_FILE])
    if taken != width:
        raise ModelError(f"{manifests.TEXT_FILE} takes {taken} features, not {width}")
    session = open_session(files[manifests.ONNX_FILE], width)
    model = Model(version, manifests.sha256(manifest), read, session, Explainer(width, forest))
    _smoke(model)
    return model


def open_session(content: bytes, width: int) -> onnxruntime.InferenceSession:
    """Return the session of a model in ONNX of `width` features; ModelError if it cannot be loaded or has others."""
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # two threads change the order of a sum, and so its last bits
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions share no base class
        raise ModelError(f"{manifests.ONNX_FILE} cannot be loaded: {error}") from error
    taken = {each.name: each.shape[1:] for each in session.get_inputs()}
    given = {each.name: each.shape[1:] for each in session.get_outputs()}
    wanted = {INPUT: [width]}, {PROBABILITIES: [2], MARGIN: [1]}
    if (taken, given) != wanted:
        raise ModelError(
            f"{manifests.ONNX_FILE} takes {taken} and gives {given}, not {wanted[0]} and {wanted[1]} "
            "(what one row has of each); train it again with this program"
        )
    return session


def _smoke(model: Model) -> None:
    """Score random rows, a third of whose values are missing, and one row of nothing but missing, by both forms."""
    random = np.random.default_rng(0)
    rows = random.lognormal(2, 2, (SMOKE_ROWS, len(model.manifest.features))).astype(np.float32)
    rows[random.random(rows.shape) < 1 / 3] = np.nan
    rows[-1] = np.nan
    scores = model.score(rows)
    expected = 1 / (1 + np.exp(-model.explainer.base - model.contributions(rows).sum(axis=1)))
    if not (np.isfinite(scores).all() and (scores >= 0).all() and (scores <= 1).all()):
        raise ModelError(f"version {model.version} gives scores that are no probabilities")
    worst = float(np.abs(scores - expected).max())
    if worst > AGREEMENT:
        raise ModelError(
            f"version {model.version}: its ONNX and text forms differ by up to {worst:.2g} on random "
            f"rows, more than {AGREEMENT:g}: export the model again"
        )
    one_by_one = np.concatenate([model.score(row[None, :]) for row in rows])
    if not np.array_equal(scores, one_by_one):
        raise ModelError(f"version {model.version} scores a row alone otherwise than in a batch")
