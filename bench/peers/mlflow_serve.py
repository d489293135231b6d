"""`mlflow models serve` of the champion's own trees: as ONNX and as scikit-learn's classifier, one worker, warmed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx
import lightgbm
import numpy as np
import onnx
import orjson
from numpy.typing import NDArray

from errors import UnreachableError

START_S = 120
ROWS = 500


def save_onnx(folder: Path, onnx_bytes: bytes) -> Path:
    """Save the model in MLflow's onnx flavor and return its folder; one thread, as ours, so that nothing contends."""
    import mlflow.onnx

    options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    path = folder / "onnx"
    mlflow.onnx.save_model(onnx.load_from_string(onnx_bytes), path, onnx_session_options=options, pip_requirements=[])
    return path


def save_sklearn(folder: Path, text: str) -> Path:
    """Save the same trees as an LGBMClassifier in MLflow's sklearn flavor that answers with probabilities."""
    import mlflow.sklearn

    path = folder / "sklearn"
    mlflow.sklearn.save_model(
        classifier(text),
        path,
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        pip_requirements=[],
    )
    return path


def classifier(text: str) -> lightgbm.LGBMClassifier:
    """Return the trees of a LightGBM text model as a fitted LGBMClassifier, on one thread."""
    booster = lightgbm.Booster(model_str=text)
    # Fitted on two rows for its outer state; then the trees are exchanged, so that the peer scores with our very model.
    blank = np.zeros((2, booster.num_feature()))
    found = lightgbm.LGBMClassifier(n_estimators=1, n_jobs=1, verbose=-1).fit(blank, [0, 1])
    found._Booster = booster  # noqa: SLF001 - the classifier has no public way in
    return found


def bodies(rows: NDArray[np.float32]) -> Iterator[bytes]:
    """Return request bodies for ever, one row each, as tensors: MLflow's fastest form."""
    return cycle([orjson.dumps({"inputs": [row]}) for row in np.nan_to_num(rows).astype(float).tolist()])


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """Serve a saved model with one worker on a free port and yield the URL for its invocations."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "--model-uri",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--env-manager",
        "local",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # it starts `uvicorn` by name
    environment = os.environ | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = model.parent / f"{model.name}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _wait(server, port, log)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            _stop(server)


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/ping", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise UnreachableError(f"mlflow models serve did not start: {log.read_text(errors='replace')[-2000:]}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    import signal

    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)  # the shell that mlflow starts, and its worker
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
