"""The champion on a real MLflow: taken on in ten seconds, swapped in traffic, refused when bad, kept for an outage."""

import itertools
import json
import os
import threading
import time
from collections import Counter

import httpx
import pytest

from bench.load.connections import Post
from bench.load.http import open_loop
from infra.native.processes.commands import mlflow_server
from scoring import manifest as manifests
from tests import tiny_model
from tests.scorer_process import API_KEY, Process, Scorer, body, free_port, until

PICKED_UP_S = 10


class Mlflow(Process):
    """An MLflow server of one test module, with files on disk."""

    @classmethod
    def at(cls, folder):
        """Return one that is not started yet."""
        cls.port = free_port()
        command = mlflow_server(str(cls.port), folder, f"{folder}/artifacts")
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        return cls(command, kept | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, folder / "mlflow.log")

    @property
    def url(self):
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Start it and wait until it answers."""
        super().start()
        until(self._answers, "mlflow answers", 120)

    def _answers(self):
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def register(self, files, *, sha256=None, alias=True):
        """Register a model version with these files and the tag that vouches for its manifest; return its number."""
        from mlflow import MlflowClient

        client = MlflowClient(self.url, self.url)
        run = client.create_run("0")
        for name, content in files.items():
            url = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/0/{run.info.run_id}/artifacts/model/{name}"
            httpx.put(url, content=content, timeout=30).raise_for_status()
        if not client.search_registered_models():
            client.create_registered_model(manifests.REGISTERED_NAME)
        tag = sha256 or manifests.sha256(files[manifests.MANIFEST_FILE])
        source = f"{run.info.artifact_uri}/model"
        version = client.create_model_version(
            manifests.REGISTERED_NAME, source, run.info.run_id, tags={manifests.SHA_TAG: tag}
        ).version
        if alias:
            self.crown(version)
        return str(version)

    def crown(self, version):
        """Make a version champion."""
        from mlflow import MlflowClient

        MlflowClient(self.url, self.url).set_registered_model_alias(
            manifests.REGISTERED_NAME, manifests.CHAMPION, str(version)
        )


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    """MLflow, running."""
    server = Mlflow.at(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def scorer(mlflow, valkey, tmp_path_factory):
    """A scorer that began without a champion and got the first one."""
    process = Scorer.at(tmp_path_factory.mktemp("scorer"), valkey.url, mlflow.url)
    process.start()
    assert process.status("/health/ready") == 503
    mlflow.register(tiny_model.files())
    until(lambda: process.status("/health/ready") == 200, "the first champion is taken on", PICKED_UP_S)
    yield process
    process.kill()


def described(scorer):
    with scorer.client() as client:
        return client.get("/model").json()


def in_use(scorer):
    return described(scorer)["model"]["version"]


def changed(**fields):
    """Return the tiny model's files with a manifest that says something else."""
    files = dict(tiny_model.files())
    manifest = json.loads(files[manifests.MANIFEST_FILE]) | fields
    files[manifests.MANIFEST_FILE] = json.dumps(manifest).encode()
    return files


def test_new_champion_in_traffic_drops_no_request(mlflow, scorer):
    """A champion swapped in the middle of traffic: every request has a 200, some from each version, none mixed."""
    before = in_use(scorer)
    number = mlflow.register(tiny_model.files(seed=1), alias=False)
    hashes = {
        before: described(scorer)["model"]["sha256"],
        number: manifests.sha256(tiny_model.files(seed=1)[manifests.MANIFEST_FILE]),
    }
    seen = Counter()

    def note(_status, content):
        seen[tuple(json.loads(content)["model"].values())] += 1

    timer = threading.Timer(1, lambda: mlflow.crown(number))
    timer.start()
    post = Post(f"{scorer.url}/predict", {"X-API-Key": API_KEY})
    bodies = (body(n) for n in itertools.count())
    answers = open_loop(post, bodies, 60, 1 + PICKED_UP_S, timeout_s=10, on_answer=note)
    timer.join()
    assert answers.counts == {"200": 60 * (1 + PICKED_UP_S)}
    assert set(seen) == set(hashes.items())


BAD = {
    "another schema hash": (changed(schema_hash="ab" * 32), None, "ab" * 32),
    "a manifest changed after registration": (changed(threshold=0.9), "cd" * 32, "cd" * 32),
    "a file that is not the trained one": (
        tiny_model.files() | {manifests.ONNX_FILE: tiny_model.files(seed=2)[manifests.ONNX_FILE]},
        None,
        "SHA-256",
    ),
    "a manifest that cannot be read": (tiny_model.files() | {manifests.MANIFEST_FILE: b"{}"}, None, "cannot be read"),
    "a missing file": (
        {name: content for name, content in tiny_model.files().items() if name != manifests.TEXT_FILE},
        None,
        manifests.TEXT_FILE,
    ),
}


@pytest.mark.parametrize("why", list(BAD))
def test_bad_champion_is_refused_and_the_old_one_stays(mlflow, scorer, why):
    """A champion that cannot be trusted is refused, named with its reason, and the old one goes on deciding."""
    files, sha256, says = BAD[why]
    before = in_use(scorer)
    number = mlflow.register(files, sha256=sha256)

    def refused():
        return (described(scorer)["refused"] or {}).get("version") == number

    until(refused, "the bad champion is refused", PICKED_UP_S)
    assert says in described(scorer)["refused"]["why"]
    with scorer.client() as client:
        answer = client.post("/predict", content=body(time.time_ns()))
        assert (answer.status_code, answer.json()["model"]["version"]) == (200, before)
        assert client.get("/health/ready").status_code == 200
        assert "fraud_model_refused_total" in scorer.metrics()


def test_a_good_one_after_a_bad_one_is_taken_on(mlflow, scorer):
    """After a refusal the next good champion is used, and nothing is refused any more."""
    number = mlflow.register(tiny_model.files(seed=4))
    until(lambda: in_use(scorer) == number, "the good champion is used", PICKED_UP_S)
    assert described(scorer)["refused"] is None


def test_mlflow_away_at_start_uses_the_last_good_model(mlflow, scorer):
    """Both killed, the scorer started alone: it is ready with the last good model, and says where it is from."""
    before = described(scorer)["model"]
    mlflow.kill()
    scorer.kill()
    scorer.start()
    until(lambda: scorer.status("/health/live") == 200, "the scorer listens", 30)
    assert scorer.status("/health/ready") == 200, "its kept model was read before it listened"
    found = described(scorer)
    assert (found["model"]["sha256"], found["model"]["origin"]) == (before["sha256"], "cache")
    until(lambda: "mlflow" in (described(scorer)["trouble"] or ""), "it says that MLflow is away", 30)
    mlflow.start()
    until(lambda: described(scorer)["model"]["origin"] == "mlflow", "MLflow is asked again", 30)
