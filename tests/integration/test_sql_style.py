"""The SQL as an analyst reads it: linted by its real compiler on the real Trino."""

import os
import subprocess
import sys
from pathlib import Path

from infra.native import stackenv
from infra.native.paths import Home
from settings import PROJECT_DIR


def test_sql_is_clean(stack: Home, tmp_path: Path) -> None:
    """The linter finds nothing in the models, tests and macros of dbt_project."""
    env = stackenv.required(stack)
    environment = {**os.environ, **{name: env[name] for name in stackenv.FOR_USERS}}
    environment |= {"DBT_TARGET_PATH": str(tmp_path / "target"), "DBT_LOG_PATH": str(tmp_path / "logs")}
    done = subprocess.run(
        [Path(sys.executable).with_name("sqlfluff"), "lint", "--nocolor", "models", "tests"],
        cwd=PROJECT_DIR / "dbt_project",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
