"""Set up what the servers hold: topics, schemas, buckets, keys, the catalog's schemas; repeating does no harm."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from errors import LakehouseError
from infra.native.setup import storage_admin
from infra.native.stackenv import without_stack
from infra.native.state.asking import postgres_as_superuser, query
from lake.tables import SCHEMAS
from settings import PROJECT_DIR

Env = Mapping[str, str]
CATALOG = "delta"


def topics(env: Env) -> str:
    """Make the topics of the contracts that are missing; raises LakehouseError when one has other partitions."""
    from clients import kafka
    from contracts.topics import POLICY, TOPICS

    made = kafka.ensure_topics(env["KAFKA_BOOTSTRAP"])
    if POLICY.name in made:
        _publish_rules(env)
    return f"{len(TOPICS)} topics ({len(made)} new)"


def _publish_rules(env: Env) -> None:
    """Put the stack's first rules in force; raises LakehouseError with the reason why they are not good."""
    file = Path(env["LAKEHOUSE_HOME"]) / "rules.yaml"
    done = _command(env, "serving", "rules", "publish", "--first", "--by", "make up", str(file))
    if done.returncode:
        raise LakehouseError(f"{file} was not published: {(done.stderr or done.stdout).strip()[-600:]}")


def schemas(env: Env) -> str:
    """Register the contracts' schemas with BACKWARD compatibility; raises LakehouseError with the registry's reason."""
    if importlib.util.find_spec("clients.__main__") is None:
        return "no `python -m clients register` in this checkout"
    done = _command(env, "clients", "register")
    if done.returncode:
        raise LakehouseError(f"the schemas were not registered: {(done.stderr or done.stdout).strip()[-600:]}")
    return "schemas registered, BACKWARD"


def storage(env: Env) -> str:
    """Make the buckets and each engine's key."""
    made = storage_admin.buckets(env)
    storage_admin.keys(env)
    return f"buckets lake, mlflow ({len(made)} new); keys of spark, trino, mlflow, reader"


def catalog(env: Env) -> str:
    """Make the catalog's schemas at their places in the lake."""
    for schema in SCHEMAS:
        query(
            env, f"CREATE SCHEMA IF NOT EXISTS {CATALOG}.{schema} WITH (location = 's3://{env['S3_BUCKET']}/{schema}')"
        )
    return f"schemas {', '.join(SCHEMAS)}"


def databases(env: Env) -> str:
    """Make the databases of alerts, Superset and the metastore, each its user's own; the services make the tables."""
    owners = {"alerts": "ALERTS_PASSWORD", "superset": "SUPERSET_DB_PASSWORD", "metastore": "METASTORE_DB_PASSWORD"}
    for owner, password in owners.items():
        _database(env, owner, env[password])
    return f"databases {', '.join(owners)}, each its user's own"


def _database(env: Env, owner: str, password: str) -> None:
    from psycopg import sql

    user = name = sql.Identifier(owner)
    with postgres_as_superuser(env) as connection:
        # A verifier, not the password: statements may stand in a log.
        verifier = connection.pgconn.encrypt_password(password.encode(), owner.encode(), b"scram-sha-256")
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [owner]).fetchone()
        verb = sql.SQL("ALTER" if known else "CREATE")
        connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, user, sql.Literal(verifier.decode())))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [owner]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, user))
            connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))


def dashboards(env: Env) -> str:
    """Bring Superset's dashboards and roles to what the repository says."""
    done = _command(env, "infra.superset", "load")
    if done.returncode:
        raise LakehouseError(f"the dashboards were not loaded: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout.strip()


def _command(env: Env, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT_DIR,
        env={**without_stack(), **env},
        capture_output=True,
        text=True,
        check=False,
    )


STEPS: dict[str, Callable[[Env], str]] = {
    "kafka": topics,
    "registry": schemas,
    "minio": storage,
    "postgres": databases,
    "trino": catalog,
    "superset": dashboards,
}
"""What is set up as soon as a server answers."""
