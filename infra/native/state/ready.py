"""Readiness: each condition is a real request to a real server, never a sleep."""

import socket
import urllib.parse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.native.paths import Home
from infra.native.state import asking, notes
from infra.native.state.asking import Env, NotReadyError

Condition = Callable[[Env], None]


def kafka(env: Env) -> None:
    """The broker lists its topics."""
    asking.topics(env)


def topics(env: Env) -> None:
    """Every topic of the contracts is there."""
    from contracts.topics import TOPICS

    lacking = {topic.name for topic in TOPICS} - asking.topics(env)
    if lacking:
        raise NotReadyError(f"no topic {', '.join(sorted(lacking))} yet")


def registry(env: Env) -> None:
    """The registry lists its subjects."""
    asking.get_json(f"{env['REGISTRY_URL']}/subjects")


def schemas(env: Env) -> None:
    """Every subject of the contracts has a schema."""
    from contracts.topics import TOPICS

    have = set(asking.get_json(f"{env['REGISTRY_URL']}/subjects"))
    lacking = {topic.subject for topic in TOPICS if topic.schema} - have
    if lacking:
        raise NotReadyError(f"no schema for {', '.join(sorted(lacking))} yet")


def minio(env: Env) -> None:
    """The storage lists buckets for the root key."""
    asking.s3(env, "S3_ROOT").list_buckets()


def buckets(env: Env) -> None:
    """MLflow's key reaches its bucket."""
    if not asking.s3(env, "S3_MLFLOW").bucket_exists("mlflow"):
        raise NotReadyError("no bucket mlflow yet")


def spark_key(env: Env) -> None:
    """Spark's key may list its own part of the lake."""
    next(iter(asking.s3(env, "S3_SPARK").list_objects(env["S3_BUCKET"], prefix="bronze/")), None)


def trino(env: Env) -> None:
    """Trino answers a query; its own word that it has started comes seconds too early."""
    asking.query(env, "SELECT 1")


def catalog(env: Env) -> None:
    """Trino shows the schemas of the lake."""
    from lake.tables import SCHEMAS

    lacking = set(SCHEMAS) - {str(row[0]) for row in asking.query(env, "SHOW SCHEMAS FROM delta")}
    if lacking:
        raise NotReadyError(f"no schema {', '.join(sorted(lacking))} in Trino yet")


def redis(env: Env) -> None:
    """The online store answers a PING with our password; while it loads its file it says so instead."""
    _ping(env["REDIS_URL"])


def answers(env: Env) -> None:
    """The store of kept answers answers a PING with our password."""
    _ping(env["ANSWERS_URL"])


def _ping(url: str) -> None:
    import redis as client

    with client.Redis.from_url(url, socket_timeout=asking.TIMEOUT_S) as connection:
        connection.ping()


def postgres(env: Env) -> None:
    """PostgreSQL answers a query of its superuser; while it recovers after a crash it refuses to."""
    with asking.postgres_as_superuser(env) as connection:
        connection.execute("SELECT 1")


def alerts_database(env: Env) -> None:
    """The alerts' user reaches the alerts' database."""
    asking.database(env["ALERTS_DATABASE_URL"])


def superset_database(env: Env) -> None:
    """Superset's user reaches its database."""
    asking.database(env["SUPERSET_DATABASE_URL"])


def metastore_database(env: Env) -> None:
    """The metastore's user reaches its database."""
    asking.database(
        env["METASTORE_DATABASE_URL"].removeprefix("jdbc:"), user="metastore", password=env["METASTORE_DB_PASSWORD"]
    )


def metastore(env: Env) -> None:
    """The metastore takes connections: it does so when its own database has answered it."""
    parts = urllib.parse.urlsplit(env["METASTORE_URI"])
    socket.create_connection((str(parts.hostname), int(parts.port or 0)), asking.TIMEOUT_S).close()


def superset(env: Env) -> None:
    """Superset shows its login page, for which it asks its own database."""
    asking.get(f"{env['SUPERSET_URL']}/login/")


def mlflow(env: Env) -> None:
    """MLflow reads its own database."""
    asking.get_json(f"{env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1")


def bronze(env: Env) -> None:
    """The driver that runs now says, after its own start, that its query runs."""
    said = _said(env, "bronze", lambda written: datetime.fromisoformat(written).timestamp())
    if said.get("state") != "running":
        raise NotReadyError(f"{said.get('state')}: {said.get('detail')}")


def scorer(env: Env) -> None:
    """The scorer has a model and says that it is ready."""
    asking.get_json(f"{env['API_URL']}/health/ready", env.get("API_CA", ""))


def scorer_alive(env: Env) -> None:
    """The scorer answers, with or without a model."""
    asking.get_json(f"{env['API_URL']}/health/live", env.get("API_CA", ""))


def stream(env: Env) -> None:
    """The stream scorer that runs now has partitions, and their windows are whole."""
    said = _said(env, "stream")
    if not said["partitions"]:
        raise NotReadyError("it has no partition")
    if said["windows_behind"]:
        raise NotReadyError(f"windows are observed again, payments left by partition: {said['windows_behind']}")


def alerts_sink(env: Env) -> None:
    """The sink that runs now says that it has partitions and that PostgreSQL takes what it reads."""
    said = _said(env, "alerts-sink")
    if said["trouble"]:
        raise NotReadyError(said["trouble"])


def desk(env: Env) -> None:
    """The desk answers, and its tables are there."""
    asking.get_json(f"{env['DESK_URL']}/health/ready", env.get("API_CA", ""))


CONDITIONS: dict[str, Condition] = {
    "kafka": kafka,
    "topics": topics,
    "registry": registry,
    "schemas": schemas,
    "minio": minio,
    "buckets": buckets,
    "spark-key": spark_key,
    "trino": trino,
    "catalog": catalog,
    "redis": redis,
    "answers": answers,
    "postgres": postgres,
    "alerts-database": alerts_database,
    "superset-database": superset_database,
    "metastore-database": metastore_database,
    "metastore": metastore,
    "superset": superset,
    "mlflow": mlflow,
    "bronze": bronze,
    "scorer": scorer,
    "scorer-alive": scorer_alive,
    "stream": stream,
    "alerts-sink": alerts_sink,
    "desk": desk,
}


def why_not(name: str, env: Env) -> str | None:
    """Return None when the condition holds, else one line that says why it does not."""
    try:
        CONDITIONS[name](env)
    # Whatever a client library raises means the same here: not ready, and this is why.
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0][:160]
        return line if isinstance(error, NotReadyError) else f"{type(error).__name__}: {line}"
    return None


def _said(env: Env, name: str, moment: Callable[[Any], float] = float) -> dict[str, Any]:
    """Return what a service of ours wrote of itself since its last start; `moment` reads the time of its note."""
    home = Home(Path(env["LAKEHOUSE_HOME"]))
    said = notes.read(home, name)
    starts = notes.read(home, f"starts-{name}").get("recent") or [0.0]
    if "updated_at" not in said or moment(said["updated_at"]) < starts[-1]:
        raise NotReadyError("it has not spoken since its start")
    return said
