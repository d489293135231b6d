"""The stack's own file of addresses and secrets (`stack.env`): made once, ports checked at every start."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shlex
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from errors import LakehouseError
from infra.native import metastore, trino_access
from infra.native.paths import Home, cache_dir, write_secret
from settings import PROJECT_DIR

Env = dict[str, str]

WELL_KNOWN = {
    "KAFKA_PORT": 9092,
    "KAFKA_CONTROLLER_PORT": 9093,
    "REGISTRY_PORT": 8081,
    "REGISTRY_MANAGEMENT_PORT": 9400,
    "S3_PORT": 9000,
    "TRINO_PORT": 8080,
    "METASTORE_PORT": 9083,
    "REDIS_PORT": 6379,
    "POSTGRES_PORT": 5432,
    "MLFLOW_PORT": 5000,
    "API_PORT": 8000,
    "SUPERSET_PORT": 8088,
}
FOR_USERS = (
    "LAKEHOUSE_HOME", "LAKEHOUSE_ENV", "KAFKA_BOOTSTRAP", "REGISTRY_URL",
    "TRINO_HOST", "TRINO_PORT", "TRINO_USER", "TRINO_PASSWORD", "TRINO_CA", "REQUESTS_CA_BUNDLE",
    "S3_ENDPOINT", "S3_REGION", "S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL",
    "AWS_REGION", "REDIS_URL", "ALERTS_DATABASE_URL", "MLFLOW_TRACKING_URI", "API_URL", "API_KEY",
    "SUPERSET_URL", "SUPERSET_PASSWORD", "DBT_PROFILES_DIR", "JAVA_HOME",
)  # fmt: skip
"""What `make env` shows: no root key, no engine's key."""
STARTING_S = 180
"""How long a claim on a port holds for a stack that is still starting."""


def read(home: Home) -> Env:
    """Return the stack's variables; empty when it was never started."""
    if not home.env_file.is_file():
        return {}
    pairs = (line.split("=", 1) for line in home.env_file.read_text().splitlines() if "=" in line)
    return {name: shlex.split(value)[0] if value else "" for name, value in pairs}


def required(home: Home) -> Env:
    """Return the stack's variables; raises LakehouseError when there are none."""
    env = read(home)
    if not env:
        raise LakehouseError(f"{home.env_file} does not exist: no stack was started there; run `make up` first")
    return env


def prepare(home: Home, java_home: Path, spark_jars: Path) -> Env:
    """Write and return the variables of a stack that is about to start: secrets kept, ports chosen anew where taken."""
    home.make()
    before = read(home)
    with _claims() as claims:
        ports = _choose_ports(home, before, claims)
    env = _addresses(home, ports, _secrets(before)) | {"METASTORE": metastore.chosen(before)}
    env |= {"JAVA_HOME": str(java_home), "SPARK_JARS_DIR": str(spark_jars)}
    _write(home, env)
    return env


def prepare_containers(home: Home) -> Env:
    """Write and return the variables of a stack in containers: the same names, each server on a host of its own."""
    home.make()
    hosts = {"KAFKA": "kafka", "REGISTRY": "registry", "S3": "minio", "TRINO": "trino", "REDIS": "redis"}
    hosts |= {"POSTGRES": "postgres", "METASTORE": "metastore"}
    hosts |= {"MLFLOW": "mlflow", "API": "scorer", "SUPERSET": "superset"}
    before = read(home)
    env = _addresses(home, WELL_KNOWN, _secrets(before), hosts) | {"METASTORE": metastore.chosen(before)}
    _write(home, env)
    trino_access.write(home, env)
    metastore.write(home, env)
    return env


def _write(home: Home, env: Env) -> None:
    text = "".join(f"{name}={shlex.quote(value) if value else ''}\n" for name, value in sorted(env.items()))
    partial = home.env_file.with_suffix(".partial")
    write_secret(partial, text)
    partial.replace(home.env_file)


def exports(env: Mapping[str, str], user: str = "") -> str:
    """Return shell lines that export what a user needs, this environment's programs first on the PATH.

    `user` is who the shell is to Trino; LakehouseError if Trino has no such user.
    """
    if user:
        env = {**env, **as_user(env, user)}
    lines = [f"export {name}={shlex.quote(env[name])}" for name in FOR_USERS if name in env]
    folder = shlex.quote(str(PROJECT_DIR / ".venv" / "bin"))
    return "\n".join([*lines, f'export PATH={folder}:"$PATH"'])


def as_user(env: Mapping[str, str], user: str) -> Env:
    """Return the variables that make a process one of Trino's users; LakehouseError if there is no such user."""
    if user not in trino_access.USERS:
        raise LakehouseError(f"Trino has no user {user}; there are {', '.join(trino_access.USERS)}")
    return {"TRINO_USER": user, "TRINO_PASSWORD": env[trino_access.password(user)]}


def _secrets(before: Env) -> Env:
    fresh = {
        "API_KEY": secrets.token_urlsafe(24),
        "CARD_HASH_KEY": secrets.token_hex(32),
        "REDIS_PASSWORD": secrets.token_hex(24),
        "POSTGRES_ROOT_PASSWORD": secrets.token_hex(24),
        "ALERTS_PASSWORD": secrets.token_hex(24),
        "TRINO_INTERNAL_SECRET": secrets.token_hex(32),
        "SUPERSET_PASSWORD": secrets.token_urlsafe(18),
        "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
        "SUPERSET_DB_PASSWORD": secrets.token_hex(24),
        "METASTORE_DB_PASSWORD": secrets.token_hex(24),
        "KAFKA_CLUSTER_ID": secrets.token_urlsafe(16).replace("-", "a").replace("_", "b"),
        "S3_ROOT_ACCESS_KEY": "root-" + secrets.token_hex(4),
        "S3_ROOT_SECRET_KEY": secrets.token_hex(20),
        "AWS_ACCESS_KEY_ID": "reader-" + secrets.token_hex(4),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
    }
    for engine in ("SPARK", "TRINO", "MLFLOW"):
        fresh[f"S3_{engine}_ACCESS_KEY"] = f"{engine.lower()}-{secrets.token_hex(4)}"
        fresh[f"S3_{engine}_SECRET_KEY"] = secrets.token_hex(20)
    for user in trino_access.USERS:
        fresh[trino_access.password(user)] = secrets.token_urlsafe(24)
    return {name: before.get(name) or value for name, value in fresh.items()}


def _addresses(home: Home, ports: Mapping[str, int], kept: Env, hosts: Mapping[str, str] | None = None) -> Env:
    def place(server: str) -> str:
        return f"{(hosts or {}).get(server, '127.0.0.1')}:{ports[f'{server}_PORT']}"

    s3 = f"http://{place('S3')}"
    return {
        **kept,
        **{name: str(port) for name, port in ports.items()},
        "LAKEHOUSE_HOME": str(home.root),
        "LAKEHOUSE_ENV": "local",
        "KAFKA_BOOTSTRAP": place("KAFKA"),
        "REGISTRY_URL": f"http://{place('REGISTRY')}/apis/ccompat/v7",
        "TRINO_HOST": (hosts or {}).get("TRINO", "127.0.0.1"),
        "TRINO_USER": "dbt",
        "TRINO_PASSWORD": kept[trino_access.password("dbt")],
        "TRINO_CA": str(trino_access.authority(home)),
        "TRINO_ETC": str(trino_access.folder(home)),
        "REQUESTS_CA_BUNDLE": str(trino_access.bundle(home)),
        "S3_ENDPOINT": s3,
        "S3_REGION": "us-east-1",
        "S3_BUCKET": "lake",
        "AWS_ENDPOINT_URL": s3,
        "AWS_REGION": "us-east-1",
        "REDIS_URL": f"redis://:{kept['REDIS_PASSWORD']}@{place('REDIS')}/0",
        "ALERTS_DATABASE_URL": f"postgresql://alerts:{kept['ALERTS_PASSWORD']}@{place('POSTGRES')}/alerts",
        "SUPERSET_DATABASE_URL": f"postgresql://superset:{kept['SUPERSET_DB_PASSWORD']}@{place('POSTGRES')}/superset",
        "METASTORE_URI": f"thrift://{place('METASTORE')}",
        "METASTORE_DATABASE_URL": f"jdbc:postgresql://{place('POSTGRES')}/metastore",
        "SUPERSET_URL": f"http://{place('SUPERSET')}",
        "MLFLOW_TRACKING_URI": f"http://{place('MLFLOW')}",
        "API_URL": f"http://{place('API')}",
        "API_KEY_SHA256": hashlib.sha256(kept["API_KEY"].encode()).hexdigest(),
        "DBT_PROFILES_DIR": str(PROJECT_DIR / "dbt_project"),
    }


def _choose_ports(home: Home, before: Env, claims: dict[str, dict[str, object]]) -> dict[str, int]:
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
def _claims() -> Iterator[dict[str, dict[str, object]]]:
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


def _holds(claim: dict[str, object]) -> bool:
    if time.time() - float(str(claim["at"])) < STARTING_S:
        return True
    pid_file = Path(str(claim["home"])) / "run" / "supervisord.pid"
    try:
        return psutil.pid_exists(int(pid_file.read_text()))
    except (OSError, ValueError):
        return False


def without_stack(environ: Mapping[str, str] = os.environ) -> Env:
    """Return an environment less the variables of any stack: a shell's addresses of another must not leak in."""
    ours = set(WELL_KNOWN) | set(FOR_USERS) | {"API_KEY_SHA256", "CARD_HASH_KEY", "REDIS_PASSWORD", "KAFKA_CLUSTER_ID"}
    ours |= {"POSTGRES_ROOT_PASSWORD", "ALERTS_PASSWORD"}
    ours |= {"SUPERSET_SECRET_KEY", "SUPERSET_DB_PASSWORD", "SUPERSET_DATABASE_URL"}
    ours.remove("REQUESTS_CA_BUNDLE")  # of the machine, as a rule
    kept = {name: value for name, value in environ.items() if name not in ours}
    return {name: value for name, value in kept.items() if not name.startswith(("S3_", "TRINO_", "METASTORE"))}
