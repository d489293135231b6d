"""The supervisor's promises: what is killed comes back, what is stopped is gone, stacks do not meet."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.state.ready import why_not
from tests.conftest import run_native, wait_until


@pytest.mark.parametrize("name", ["redis", "minio", "kafka", "registry", "postgres", "mlflow", "trino"])
def test_a_killed_server_comes_back(stack: Home, name: str) -> None:
    """After kill -9 of a server the supervisor starts it again, and it answers a real request."""
    env = stackenv.required(stack)
    pid = int(supervise.states(stack)[name]["pid"])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: int(supervise.states(stack)[name]["pid"]) not in {0, pid}, f"{name} has a new process")
    wait_until(lambda: _only_the_new_one_listens(stack, name), f"{name} listens, and no orphan of it", timeout_s=180)
    wait_until(lambda: why_not(name, env) is None, f"{name} answers again", timeout_s=180)
    assert not psutil.pid_exists(pid)


def _only_the_new_one_listens(stack: Home, name: str) -> bool:
    try:
        root = psutil.Process(int(supervise.states(stack)[name]["pid"]))
        tree = {root.pid, *(child.pid for child in root.children(recursive=True))}
        listeners = {
            process.pid
            for process in supervise.processes(stack, name)
            if any(connection.status == psutil.CONN_LISTEN for connection in process.net_connections(kind="inet"))
        }
    except psutil.NoSuchProcess:
        return False
    return bool(listeners) and listeners <= tree


def _service_pids(stack: Home) -> dict[str, int]:
    return {name: int(record["pid"]) for name, record in supervise.states(stack).items()}


def test_a_service_that_cannot_start_is_slowed_and_says_so(tmp_path: Path) -> None:
    """A crash loop is met with growing pauses, told in the log."""
    home = Home(tmp_path / "stack")
    done = run_native(home.root, "up", "--only", "redis")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        (home.etc / "redis.conf").write_text("no-such-directive yes\n")
        os.kill(int(supervise.states(home)["redis"]["pid"]), signal.SIGKILL)
        wait_until(lambda: "of back-off" in (home.logs / "redis.log").read_text(), "the log tells of the back-off")
    finally:
        supervise.stop(home)


def test_two_stacks_side_by_side_and_down_leaves_nothing(stack: Home, tmp_path: Path) -> None:
    """A second stack takes other ports and secrets; its `down` ends all of it and nothing of the first."""
    second = Home(tmp_path / "second")
    first_pids = _service_pids(stack)
    done = run_native(second.root, "up", "--only", "redis,kafka,minio,registry")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        env, other = stackenv.required(stack), stackenv.required(second)
        ports = [name for name in env if name.endswith("_PORT")]
        assert {env[name] for name in ports}.isdisjoint({other[name] for name in ports})
        secrets = [name for name in env if name.endswith(("SECRET_KEY", "PASSWORD")) and env[name]]
        assert {env[name] for name in secrets}.isdisjoint({other[name] for name in secrets})
        assert {why_not(name, other) for name in ("redis", "kafka", "minio", "registry")} == {None}
    finally:
        down = run_native(second.root, "down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert supervise.processes(second) == []
    assert _service_pids(stack) == first_pids
    assert why_not("redis", stackenv.required(stack)) is None


def test_down_ends_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    """When the supervisor itself is killed, `down` still finds every process by its environment."""
    home = Home(tmp_path / "orphans")
    done = run_native(home.root, "up", "--only", "redis,minio")
    assert done.returncode == 0, done.stdout + done.stderr
    os.kill(int((home.root / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not supervise.running(home), "the supervisor is gone")
    assert supervise.processes(home), "its children live on: else this test shows nothing"
    down = run_native(home.root, "down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "redis" in down.stdout
    assert supervise.processes(home) == []


def test_down_spares_a_shell_that_took_the_stacks_addresses(tmp_path: Path) -> None:
    """A user's process with the stack's exported variables is not of the stack, and survives `down`."""
    home = Home(tmp_path / "spared")
    assert run_native(home.root, "up", "--only", "redis").returncode == 0
    env = {name: stackenv.required(home)[name] for name in stackenv.FOR_USERS}
    with subprocess.Popen([sys.executable, "-c", "input()"], env={**os.environ, **env}, stdin=subprocess.PIPE) as shell:
        run_native(home.root, "down")
        assert shell.poll() is None
        shell.communicate(b"\n")


def test_data_and_addresses_outlive_a_restart(tmp_path: Path) -> None:
    """After `down` and `up`, data, secrets and ports are what they were."""
    import redis

    home = Home(tmp_path / "kept")
    try:
        assert run_native(home.root, "up", "--only", "redis").returncode == 0
        before = stackenv.required(home)
        with redis.Redis.from_url(before["REDIS_URL"]) as client:
            client.set("kept", "yes")
        assert run_native(home.root, "down").returncode == 0
        assert run_native(home.root, "up", "--only", "redis").returncode == 0
        assert stackenv.required(home) == before
        with redis.Redis.from_url(before["REDIS_URL"]) as client:
            assert client.get("kept") == b"yes"
    finally:
        supervise.stop(home)
