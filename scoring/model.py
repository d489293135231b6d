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
from scoring.paths import lay_out

Rows = NDArray[np.float32]
AGREEMENT = 1e-4
"""Largest difference of probability between the two forms; thresholds floored to float32 leave 5e-7."""
SMOKE_ROWS = 64


@dataclass(frozen=True)
class Graph:
    """One ONNX session with the names of its one input and of the output that is wanted."""

    session: onnxruntime.InferenceSession
    input: str
    output: str

    def run(self, rows: Rows) -> NDArray[np.float32]:
        """Return the wanted output for `rows` of shape (n, features)."""
        found: NDArray[np.float32] = self.session.run([self.output], {self.input: rows})[0]
        return found


@dataclass(frozen=True)
class Model:
    """One version of the model. `sha256` is its manifest's, which names the SHA-256 of every file."""

    version: str
    sha256: Sha256
    manifest: Manifest
    scorer: Graph
    explainer: Graph
    base: float

    def score(self, rows: Rows) -> NDArray[np.float64]:
        """Return each row's probability of fraud, shape (n,) float64, from `rows` of shape (n, features) float32."""
        return self.scorer.run(rows)[:, 1].astype(np.float64)

    def contributions(self, rows: Rows) -> NDArray[np.float32]:
        """Return what each feature adds to the log-odds, shape (n, features); with `base` they sum to the margin."""
        return self.explainer.run(rows)

    def margins(self, rows: Rows) -> NDArray[np.float64]:
        """Return the log-odds of fraud of each row, shape (n,), by the text form."""
        margins: NDArray[np.float64] = self.base + self.contributions(rows).sum(axis=1, dtype=np.float64)
        return margins


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
    explainer, base = lay_out(width, forest)
    scorer = _graph(manifests.ONNX_FILE, files[manifests.ONNX_FILE], width, 2)
    model = Model(version, manifests.sha256(manifest), read, scorer, _graph("paths", explainer, width, width), base)
    _smoke(model)
    return model


def _graph(name: str, content: bytes, width: int, wanted: int) -> Graph:
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # two threads change the order of a sum, and so its last bits
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions share no base class
        raise ModelError(f"{name} cannot be loaded: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].shape[1:] != [width]:
        found = [(each.name, each.shape) for each in inputs]
        raise ModelError(f"{name} takes {found}, not one input of shape (n, {width})")
    wide = [each.name for each in outputs if each.type == "tensor(float)" and each.shape[-1:] == [wanted]]
    if len(wide) != 1:
        found = [(each.name, each.shape) for each in outputs]
        raise ModelError(f"{name} gives {found}, not one output of shape (n, {wanted})")
    return Graph(session, inputs[0].name, wide[0])


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
