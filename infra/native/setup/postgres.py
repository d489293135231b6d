"""PostgreSQL as one of our processes: how it is called as root, which it refuses, and its folder made once."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from errors import LakehouseError
from infra.native.fetching import fetch, servers
from infra.native.machine.namespace import NAMESPACE, no_namespace
from infra.native.paths import Home
from infra.native.state.asking import SUPERUSER

Env = Mapping[str, str]


def program(name: str) -> list[str]:
    """Return the beginning of a command line that runs `postgres` or `initdb` as somebody who is not root.

    Raises LakehouseError when this process is root and the kernel gives it no user namespace.
    """
    path = str(fetch.folder(servers.POSTGRES) / "bin" / name)
    if os.geteuid() != 0:
        return [path]
    if reason := no_namespace():
        raise LakehouseError(
            f"PostgreSQL does not run as root, and a user namespace is not to be had: {reason}. "
            "Start the stack as another user, or allow user namespaces"
        )
    return [str(shutil.which("unshare")), *NAMESPACE, path]


def make_folder(home: Home, env: Env) -> None:
    """Make the database folder if there is none, whole or not at all; raises LakehouseError with initdb's words."""
    place = home.data("postgres") / "main"
    if place.is_dir():
        return
    partial = place.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    password = partial.with_name("password")
    password.touch(mode=0o600)
    password.write_text(env["POSTGRES_ROOT_PASSWORD"] + "\n")
    try:
        done = subprocess.run(
            [
                *program("initdb"),
                "--pgdata",
                str(partial),
                "--username",
                SUPERUSER,
                f"--pwfile={password}",
                "--encoding=UTF8",
                "--no-locale",
                "--auth-host=scram-sha-256",
                "--auth-local=reject",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        password.unlink()
    if done.returncode:
        raise LakehouseError(f"PostgreSQL's folder could not be made: {(done.stdout + done.stderr).strip()[-600:]}")
    partial.rename(place)


def configuration(home: Home) -> Path:
    """Return the server's configuration, as written at start."""
    return home.etc / "postgresql.conf"
