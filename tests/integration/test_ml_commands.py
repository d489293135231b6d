"""The commands as a person meets them when something is missing: one sentence, exit 1, no traceback."""

import os
import subprocess
import sys

import pytest

from settings import PROJECT_DIR


def ml(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ml", *arguments],
        cwd=PROJECT_DIR,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["train"], {"S3_BUCKET": "no-such-bucket"}, "silver.transactions"),
        (["evaluate"], {"S3_ENDPOINT": "http://127.0.0.1:9"}, "does not answer"),
        (["promote", "999999"], {}, "no version 999999"),
        (["promote", "1"], {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
def test_what_is_missing_is_said(stack, arguments, environment, said):
    """No lake, no storage, no such version, no MLflow: each is named, with what to do next."""
    done = ml(*arguments, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
