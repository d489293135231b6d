"""Bring a stack up: choose ports, configure, start, wait for each server by a real request, and set it up."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from errors import LakehouseError
from infra.native import stackenv
from infra.native.fetching import fetch, servers
from infra.native.machine.programs import java_home
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.processes.services import SERVICES, Service
from infra.native.setup import metastore, provision
from infra.native.setup.configure import configure
from infra.native.state import notes
from infra.native.state.ready import CONDITIONS, why_not

Say = Callable[[str, str], None]
FIRST = {"trino": ("minio", "metastore"), "mlflow": ("minio",), "superset": ("postgres", "trino")}
"""Set up these before waiting for that: Trino's catalog lies in the storage or the metastore."""


def up(home: Home, say: Say, names: Iterable[str] = (), timeout_s: float = 300, extra: Iterable[str] = ()) -> None:
    """Start the services `names` (when empty, those that start by default) and `extra`; wait until each is set up.

    Raises LakehouseError naming what did not become ready in `timeout_s` seconds, with the end of its log.
    """
    before, running = stackenv.read(home), supervise.running(home)
    kind = metastore.chosen(before)
    if running and kind != metastore.chosen(before, {}):
        raise LakehouseError(
            f"METASTORE={kind} cannot be given to a stack that is up: `make down`, then `METASTORE={kind} make up` "
            "and `python -m lake register`"
        )
    chosen = _choose(names, extra, metastore.services(kind))
    if running:
        for service in chosen:
            supervise.start_service(home, service.name)
    else:
        supervise.stop(home)
        env = stackenv.prepare(home, java_home(), fetch.folder(servers.SPARK))
        for service in chosen:
            notes.write(home, f"wait-{service.name}", waits_for="")
            notes.write(home, f"starts-{service.name}", count=0, recent=[])
        configure(home, env)
        supervise.start(home, chosen)
    _wait(home, chosen, say, timeout_s)


def provision_all(home: Home, say: Say, timeout_s: float) -> None:
    """Wait for servers that somebody else started (docker-compose) and set them up; raises LakehouseError."""
    env = stackenv.required(home)
    until = time.monotonic() + timeout_s
    for name in ("kafka", "registry", "minio", "postgres", *metastore.services(metastore.chosen(env, {})), "trino"):
        while (reason := why_not(name, env)) is not None:
            if time.monotonic() > until:
                raise LakehouseError(f"{name} did not become ready in {timeout_s:.0f} s: {reason}")
            time.sleep(0.5)
        step = provision.STEPS.get(name)
        say(name, step(env) if step else "ready")


def _choose(names: Iterable[str], extra: Iterable[str], with_trino: Iterable[str] = ()) -> list[Service]:
    wanted = list(names) or [service.name for service in SERVICES.values() if service.by_default]
    extra = [*extra, *(with_trino if "trino" in wanted else ())]
    wanted += [name for name in extra if name not in wanted]
    unknown = [name for name in wanted if name not in SERVICES]
    if unknown:
        raise LakehouseError(f"no service {', '.join(unknown)}; there are {', '.join(SERVICES)}")
    return [SERVICES[name] for name in wanted if SERVICES[name].available()]


def _wait(home: Home, services: list[Service], say: Say, timeout_s: float) -> None:
    started = time.monotonic()
    done: set[str] = set()

    def one(service: Service) -> str:
        env = stackenv.required(home)
        until = started + timeout_s
        for name in FIRST.get(service.name, ()):
            while name not in done and any(other.name == name for other in services):
                _check_time(home, name, f"{name} is not set up", until)
                time.sleep(0.05)
        # A fresh stack has no model yet: the scorer is up when it answers.
        condition = "scorer-alive" if service.name == "scorer" else service.name
        pause = 0.1
        while (reason := why_not(condition, env)) is not None:
            _check_time(home, service.name, reason, until)
            time.sleep(pause)
            pause = min(pause * 1.3, 1.0)
        step = provision.STEPS.get(service.name)
        told = step(env) if step else ""
        done.add(service.name)
        return told

    failures = []
    with ThreadPoolExecutor(max_workers=len(services) or 1) as pool:
        running = {pool.submit(one, service): service for service in services if service.name in CONDITIONS}
        for future in as_completed(running):
            name, error = running[future].name, future.exception()
            seconds = time.monotonic() - started
            if error is None:
                say(name, f"ready after {seconds:.1f} s{'; ' if future.result() else ''}{future.result()}")
            else:
                failures.append(f"{name}: {error}")
                say(name, f"not ready: {error}")
    if failures:
        raise LakehouseError("the stack is not complete; what runs was left running.\n" + "\n".join(failures))


def _check_time(home: Home, name: str, reason: str, until: float) -> None:
    record = supervise.states(home).get(name, {})
    if record.get("statename") == "FATAL":
        raise LakehouseError(f"could not be started: {record.get('spawnerr')}")
    if time.monotonic() > until:
        log = home.logs / f"{name}.log"
        tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-8:]) if log.is_file() else ""
        raise LakehouseError(f"{reason}; the end of {log}:\n    {tail}")
