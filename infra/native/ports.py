"""Which port each server of a stack gets: that of its last start, else the first free one; no two stacks the same."""

import errno
import fcntl
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from errors import LakehouseError
from infra.native.paths import Home, cache_dir

Claim = dict[str, object]
Claims = dict[str, Claim]
WELL_KNOWN = {
    "KAFKA_PORT": 9092,
    "KAFKA_CONTROLLER_PORT": 9093,
    "REGISTRY_PORT": 8081,
    "REGISTRY_MANAGEMENT_PORT": 9400,
    "S3_PORT": 9000,
    "TRINO_PORT": 8080,
    "METASTORE_PORT": 9083,
    "REDIS_PORT": 6379,
    "ANSWERS_PORT": 6380,
    "POSTGRES_PORT": 5432,
    "MLFLOW_PORT": 5000,
    "API_PORT": 8000,
    "DESK_PORT": 8001,
    "SUPERSET_PORT": 8088,
}
STARTING_S = 180
"""How long a claim on a port holds for a stack that is still starting."""


def choose(home: Home, before: Mapping[str, str]) -> dict[str, int]:
    """Return a port for each name of WELL_KNOWN, claimed for this stack; `before` has those of its last start.

    Raises LakehouseError when none is free.
    """
    with _claims() as claims:
        return _free_ones(home, before, claims)


def _free_ones(home: Home, before: Mapping[str, str], claims: Claims) -> dict[str, int]:
    taken = {int(port) for port, claim in claims.items() if claim["home"] != str(home.root)}
    chosen: dict[str, int] = {}
    for name, well_known in WELL_KNOWN.items():
        wishes = [int(before[name])] if name in before else []
        wishes += range(well_known, well_known + 2000)
        port = next((p for p in wishes if p not in taken and p not in chosen.values() and _is_free(p)), None)
        if port is None:
            raise LakehouseError(f"no free port for {name} from {well_known} up; stop some other servers")
        chosen[name] = port
    for ours in [name for name, claim in claims.items() if claim["home"] == str(home.root)]:
        del claims[ours]
    claims.update({str(port): {"home": str(home.root), "at": time.time()} for port in chosen.values()})
    return chosen


def _is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as probe:
            # Without it a port that was in use a moment ago counts as taken, and addresses would drift at each restart.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
    return True


@contextmanager
def _claims() -> Iterator[Claims]:
    # Two stacks that start together would both find a port free: whoever chose first says so here.
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "ports.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        text = lock.read()
        claims = {port: claim for port, claim in json.loads(text or "{}").items() if _holds(claim)}
        yield claims
        lock.seek(0)
        lock.truncate()
        lock.write(json.dumps(claims))


def _holds(claim: Claim) -> bool:
    if time.time() - float(str(claim["at"])) < STARTING_S:
        return True
    pid_file = Path(str(claim["home"])) / "run" / "supervisord.pid"
    try:
        return psutil.pid_exists(int(pid_file.read_text()))
    except (OSError, ValueError):
        return False
