"""Start, ask and stop the supervisor (supervisord) that keeps the services of one stack."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil

from errors import LakehouseError
from infra.native.paths import Home
from infra.native.processes.services import SERVICES, Service
from infra.native.stackenv import without_stack
from settings import PROJECT_DIR

LONGEST_SOCKET_PATH = 100
MARK = "LAKEHOUSE_SERVICE"
"""Every process of a stack carries this variable and LAKEHOUSE_HOME, so that none is ever lost."""


def start(home: Home, services: Iterable[Service]) -> None:
    """Start the supervisor with `services` started by it; the others are configured and can be started later."""
    run = home.root / "run"
    run.mkdir(exist_ok=True)
    _socket(home).unlink(missing_ok=True)
    configuration = run / "supervisord.conf"
    configuration.write_text(_configuration(home, {service.name for service in services}))
    program = Path(sys.executable).with_name("supervisord")
    environment = {**without_stack(), "LAKEHOUSE_HOME": str(home.root), MARK: "supervisor"}
    done = subprocess.run(
        [program, "--configuration", configuration],
        env=environment,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LakehouseError(f"the supervisor did not start: {(done.stdout + done.stderr).strip()[-400:]}")
    _wait_for_answer(home)


def running(home: Home) -> bool:
    """Return whether this stack's supervisor answers."""
    try:
        _ask(home, "getState")
    except (OSError, Fault):
        return False
    return True


def states(home: Home) -> dict[str, dict[str, Any]]:
    """Return supervisord's record of each service (statename, pid, start, spawnerr); empty when it is not running."""
    try:
        return {record["name"]: record for record in _ask(home, "getAllProcessInfo")}
    except (OSError, Fault):
        return {}


def start_service(home: Home, name: str) -> None:
    """Start one service that is configured; one that runs is left alone."""
    try:
        _ask(home, "startProcess", name, False)
    except Fault as fault:
        if "BAD_NAME" in fault.faultString:
            raise LakehouseError(
                f"the running stack is of an older checkout, which had no {name}; `make down`, then `make up`"
            ) from fault
        if "ALREADY_STARTED" not in fault.faultString:
            raise LakehouseError(f"{name} could not be started: {fault.faultString}") from fault


def stop_service(home: Home, name: str) -> None:
    """Stop one service and keep it stopped; one that is stopped is left alone."""
    try:
        _ask(home, "stopProcess", name)
    except Fault as fault:
        if "NOT_RUNNING" not in fault.faultString:
            raise LakehouseError(f"{name} could not be stopped: {fault.faultString}") from fault


def stop(home: Home) -> list[str]:
    """Stop everything of this stack, also what a killed supervisor left; returns what had to be killed.

    Raises LakehouseError when a process is left even then.
    """
    if running(home):
        with suppress(OSError):  # somebody else may be stopping it, too
            _stop_in_order(home)
            _ask(home, "shutdown")
        _wait_for_end(home, 30)
    killed = []
    for process in processes(home):
        killed.append(_describe(process))
        _signal(process, force=False)
    _, alive = psutil.wait_procs(processes(home), timeout=10)
    for process in alive:
        _signal(process, force=True)
    psutil.wait_procs(alive, timeout=5)
    left = processes(home)
    if left:
        raise LakehouseError(f"these processes did not end: {', '.join(map(_describe, left))}; end them by their ids")
    for name in ("supervisord.pid", "supervisord.conf"):
        (home.root / "run" / name).unlink(missing_ok=True)
    _socket(home).unlink(missing_ok=True)
    return killed


def processes(home: Home, service: str | None = None) -> list[psutil.Process]:
    """Return every live process of this stack, or of one service of it, known by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        ours = environment.get("LAKEHOUSE_HOME") == str(home.root) and MARK in environment
        if alive and ours and service in {None, environment[MARK]}:
            found.append(process)
    return found


def _stop_in_order(home: Home) -> None:
    # Those that use servers end before the servers, so that they can say goodbye.
    clients = [name for name, service in SERVICES.items() if service.module]
    for names in (clients, [name for name in SERVICES if name not in clients]):
        for name in names:
            try:
                _ask(home, "stopProcess", name, False)
            except Fault as fault:
                # A supervisor that an older checkout started does not know every name.
                if not any(word in fault.faultString for word in ("NOT_RUNNING", "BAD_NAME")):
                    raise LakehouseError(f"{name} could not be stopped: {fault.faultString}") from fault
        deadline = time.monotonic() + max(SERVICES[name].stop_s for name in names) + 5
        while time.monotonic() < deadline:
            if not any(states(home).get(name, {}).get("statename") == "STOPPING" for name in names):
                break
            time.sleep(0.1)


def _wait_for_answer(home: Home) -> None:
    deadline = time.monotonic() + 20
    while not running(home):
        if time.monotonic() > deadline:
            raise LakehouseError(f"the supervisor does not answer; see {home.logs / 'supervisord.log'}")
        time.sleep(0.05)


def _wait_for_end(home: Home, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and processes(home):
        time.sleep(0.1)


def _signal(process: psutil.Process, *, force: bool) -> None:
    try:
        process.kill() if force else process.terminate()
    except psutil.NoSuchProcess:
        return


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.environ().get(MARK, '?')} ({process.pid})"
    except (psutil.Error, OSError):
        return str(process.pid)


def _socket(home: Home) -> Path:
    path = home.root / "run" / "supervisor.sock"
    if len(str(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(home.root).encode()).hexdigest()[:16]
    folder = Path(f"/tmp/lakehouse-{os.getuid()}")  # noqa: S108 - made with 0700 and checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise LakehouseError(f"{folder} belongs to another user; choose a shorter LAKEHOUSE_HOME")
    return folder / f"{digest}.sock"


def _ask(home: Home, method: str, *arguments: str | bool) -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{_socket(home)}")
    with ServerProxy("http://127.0.0.1", transport=transport) as proxy:
        return getattr(proxy.supervisor, method)(*arguments)


def _configuration(home: Home, started: set[str]) -> str:
    parts = [
        f"""[unix_http_server]
file={_socket(home)}
chmod=0600

[supervisord]
logfile={home.logs / "supervisord.log"}
logfile_maxbytes=2MB
logfile_backups=1
loglevel=info
pidfile={home.root / "run" / "supervisord.pid"}
directory={PROJECT_DIR}
minfds=4096
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    parts += [_program(home, service, service.name in started) for service in SERVICES.values()]
    return "".join(parts).replace("%", "%%")


def _program(home: Home, service: Service, started: bool) -> str:
    return f"""
[program:{service.name}]
command="{sys.executable}" -m infra.native exec {service.name}
autostart={str(started).lower()}
autorestart=true
startsecs=1
startretries=1000000
stopasgroup=true
killasgroup=true
stopwaitsecs={service.stop_s}
stopsignal={service.stop_signal}
redirect_stderr=true
stdout_logfile={home.logs / f"{service.name}.log"}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
environment={MARK}="{service.name}",LAKEHOUSE_HOME="{home.root}",PYTHONUNBUFFERED="1"
"""
