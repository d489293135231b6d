"""The stack's own file of addresses and secrets (`stack.env`): made once, its ports looked at at every start."""

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

from errors import LakehouseError
from infra.native import ports
from infra.native.paths import Home, write_secret
from infra.native.setup import metastore, scorer_tls, trino_access
from settings import PROJECT_DIR

Env = dict[str, str]
FOR_USERS = (
    "LAKEHOUSE_HOME",
    "LAKEHOUSE_ENV",
    "KAFKA_BOOTSTRAP",
    "REGISTRY_URL",
    "TRINO_HOST",
    "TRINO_PORT",
    "TRINO_USER",
    "TRINO_PASSWORD",
    "TRINO_CA",
    "REQUESTS_CA_BUNDLE",
    "S3_ENDPOINT",
    "S3_REGION",
    "S3_BUCKET",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "REDIS_URL",
    "ANSWERS_URL",
    "ALERTS_DATABASE_URL",
    "MLFLOW_TRACKING_URI",
    "API_URL",
    "API_CA",
    "DESK_URL",
    "API_KEY",
    "INVESTIGATOR_KEY",
    "OPERATOR_KEY",
    "SUPERSET_URL",
    "SUPERSET_PASSWORD",
    "DBT_PROFILES_DIR",
    "JAVA_HOME",
)
"""What `make env` shows: no root key, no engine's key."""


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
    before = read(home)
    _refuse_a_lost_card_key(home, before)
    home.make()
    env = _addresses(home, ports.choose(home, before), _secrets(before)) | {"METASTORE": metastore.chosen(before)}
    env |= scorer_tls.variables(home, before, env)
    env |= {"JAVA_HOME": str(java_home), "SPARK_JARS_DIR": str(spark_jars)}
    _write(home, env)
    return env


def prepare_containers(home: Home) -> Env:
    """Write and return the variables of a stack in containers: the same names, each server on a host of its own."""
    home.make()
    hosts = {
        "KAFKA": "kafka",
        "REGISTRY": "registry",
        "S3": "minio",
        "TRINO": "trino",
        "REDIS": "redis",
        "ANSWERS": "answers",
    }
    hosts |= {"POSTGRES": "postgres", "METASTORE": "metastore"}
    hosts |= {"MLFLOW": "mlflow", "API": "scorer", "DESK": "desk", "SUPERSET": "superset"}
    before = read(home)
    env = _addresses(home, ports.WELL_KNOWN, _secrets(before), hosts) | {"METASTORE": metastore.chosen(before)}
    env |= scorer_tls.variables(home, before, env)
    _write(home, env)
    scorer_tls.write(home, env)
    trino_access.write(home, env)
    metastore.write(home, env)
    return env


def _refuse_a_lost_card_key(home: Home, before: Env) -> None:
    """Raise LakehouseError where data are without the key that made their card_ids."""
    data = home.root / "data"
    if not before.get("CARD_HASH_KEY") and data.is_dir() and any(data.iterdir()):
        raise LakehouseError(
            f"{home.env_file} has no CARD_HASH_KEY, but {data} has data whose cards were hashed with it: a new key "
            f"would make other cards of the same numbers. Restore {home.env_file} from your backup; or, to begin "
            f"without the data, remove {data}"
        )


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
        "INVESTIGATOR_KEY": secrets.token_urlsafe(24),
        "OPERATOR_KEY": secrets.token_urlsafe(24),
        "SESSION_SECRET": secrets.token_urlsafe(42),
        "CARD_HASH_KEY": secrets.token_hex(32),
        "DECISION_KEY": secrets.token_hex(32),
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


def _addresses(home: Home, chosen: Mapping[str, int], kept: Env, hosts: Mapping[str, str] | None = None) -> Env:
    def place(server: str) -> str:
        return f"{(hosts or {}).get(server, '127.0.0.1')}:{chosen[f'{server}_PORT']}"

    s3 = f"http://{place('S3')}"
    return {
        **kept,
        **{name: str(port) for name, port in chosen.items()},
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
        "ANSWERS_URL": f"redis://:{kept['REDIS_PASSWORD']}@{place('ANSWERS')}/0",
        "ALERTS_DATABASE_URL": f"postgresql://alerts:{kept['ALERTS_PASSWORD']}@{place('POSTGRES')}/alerts",
        "SUPERSET_DATABASE_URL": f"postgresql://superset:{kept['SUPERSET_DB_PASSWORD']}@{place('POSTGRES')}/superset",
        "METASTORE_URI": f"thrift://{place('METASTORE')}",
        "METASTORE_DATABASE_URL": f"jdbc:postgresql://{place('POSTGRES')}/metastore",
        "SUPERSET_URL": f"http://{place('SUPERSET')}",
        "MLFLOW_TRACKING_URI": f"http://{place('MLFLOW')}",
        "API_URL": f"http://{place('API')}",
        "DESK_URL": f"http://{place('DESK')}",
        "DBT_PROFILES_DIR": str(PROJECT_DIR / "dbt_project"),
    }


def without_stack(environ: Mapping[str, str] = os.environ) -> Env:
    """Return an environment less the variables of any stack: a shell's addresses of another must not leak in."""
    ours = set(ports.WELL_KNOWN) | set(FOR_USERS)
    ours |= {"SESSION_SECRET", "KEYS_FILE", "CARD_HASH_KEY", "DECISION_KEY", "KAFKA_CLUSTER_ID"}
    ours |= {"REDIS_PASSWORD", "POSTGRES_ROOT_PASSWORD", "ALERTS_PASSWORD"}
    ours |= {"SUPERSET_SECRET_KEY", "SUPERSET_DB_PASSWORD", "SUPERSET_DATABASE_URL"}
    ours.remove("REQUESTS_CA_BUNDLE")  # of the machine, as a rule
    kept = {name: value for name, value in environ.items() if name not in ours}
    return {
        name: value for name, value in kept.items() if not name.startswith(("S3_", "TRINO_", "METASTORE", "SCORER_TLS"))
    }
