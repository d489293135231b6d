"""Readiness: each condition is a real request to a real server, never a sleep."""

import http.client
import json
import socket
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.native import notes
from infra.native.paths import Home

if TYPE_CHECKING:
    import psycopg

Env = Mapping[str, str]
Condition = Callable[[Env], None]
TIMEOUT_S = 5.0
SUPERUSER = "postgres"


class NotReadyError(Exception):
    """A condition does not hold yet; its text says what was answered."""


def kafka(env: Env) -> None:
    """The broker lists its topics."""
    _topics(env)


def topics(env: Env) -> None:
    """Every topic of the contracts is there."""
    from contracts.topics import TOPICS

    lacking = {topic.name for topic in TOPICS} - _topics(env)
    if lacking:
        raise NotReadyError(f"no topic {', '.join(sorted(lacking))} yet")


def registry(env: Env) -> None:
    """The registry lists its subjects."""
    _get_json(f"{env['REGISTRY_URL']}/subjects")


def schemas(env: Env) -> None:
    """Every subject of the contracts has a schema."""
    from contracts.topics import TOPICS

    have = set(_get_json(f"{env['REGISTRY_URL']}/subjects"))
    lacking = {topic.subject for topic in TOPICS if topic.schema} - have
    if lacking:
        raise NotReadyError(f"no schema for {', '.join(sorted(lacking))} yet")


def minio(env: Env) -> None:
    """The storage lists buckets for the root key."""
    s3(env, "S3_ROOT").list_buckets()


def buckets(env: Env) -> None:
    """MLflow's key reaches its bucket."""
    if not s3(env, "S3_MLFLOW").bucket_exists("mlflow"):
        raise NotReadyError("no bucket mlflow yet")


def spark_key(env: Env) -> None:
    """Spark's key may list its own part of the lake."""
    next(iter(s3(env, "S3_SPARK").list_objects(env["S3_BUCKET"], prefix="bronze/")), None)


def trino(env: Env) -> None:
    """Trino answers a query; its own word that it has started comes seconds too early."""
    query(env, "SELECT 1")


def catalog(env: Env) -> None:
    """Trino shows the schemas of the lake."""
    from lake.tables import SCHEMAS

    lacking = set(SCHEMAS) - {str(row[0]) for row in query(env, "SHOW SCHEMAS FROM delta")}
    if lacking:
        raise NotReadyError(f"no schema {', '.join(sorted(lacking))} in Trino yet")


def redis(env: Env) -> None:
    """The online store answers a PING with our password; while it loads its file it says so instead."""
    import redis as client

    with client.Redis.from_url(env["REDIS_URL"], socket_timeout=TIMEOUT_S) as connection:
        connection.ping()


def postgres(env: Env) -> None:
    """PostgreSQL answers a query of its superuser; while it recovers after a crash it refuses to."""
    with postgres_as_superuser(env) as connection:
        connection.execute("SELECT 1")


def alerts_database(env: Env) -> None:
    """The alerts' user reaches the alerts' database."""
    _answers(env["ALERTS_DATABASE_URL"])


def superset_database(env: Env) -> None:
    """Superset's user reaches its database."""
    _answers(env["SUPERSET_DATABASE_URL"])


def metastore_database(env: Env) -> None:
    """The metastore's user reaches its database."""
    _answers(
        env["METASTORE_DATABASE_URL"].removeprefix("jdbc:"), user="metastore", password=env["METASTORE_DB_PASSWORD"]
    )


def metastore(env: Env) -> None:
    """The metastore takes connections: it does so when its own database has answered it."""
    parts = urllib.parse.urlsplit(env["METASTORE_URI"])
    socket.create_connection((str(parts.hostname), int(parts.port or 0)), TIMEOUT_S).close()


def superset(env: Env) -> None:
    """Superset shows its login page, for which it asks its own database."""
    _get(f"{env['SUPERSET_URL']}/login/")


def mlflow(env: Env) -> None:
    """MLflow reads its own database."""
    _get_json(f"{env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1")


def bronze(env: Env) -> None:
    """The driver that runs now says, after its own start, that its query runs."""
    home = Home(Path(env["LAKEHOUSE_HOME"]))
    said = notes.read(home, "bronze")
    starts = notes.read(home, "starts-bronze").get("recent") or [0.0]
    if datetime.fromisoformat(said.get("updated_at", "1970-01-01T00:00:00+00:00")).timestamp() < starts[-1]:
        raise NotReadyError("the driver has not spoken since its start")
    if said.get("state") != "running":
        raise NotReadyError(f"{said.get('state')}: {said.get('detail')}")


def scorer(env: Env) -> None:
    """The scorer has a model and says that it is ready."""
    _get_json(f"{env['API_URL']}/health/ready")


def scorer_alive(env: Env) -> None:
    """The scorer answers, with or without a model."""
    _get_json(f"{env['API_URL']}/health/live")


def stream(env: Env) -> None:
    """The stream scorer that runs now has partitions, and their windows are whole."""
    home = Home(Path(env["LAKEHOUSE_HOME"]))
    said = notes.read(home, "stream")
    starts = notes.read(home, "starts-stream").get("recent") or [0.0]
    if said.get("updated_at", 0.0) < starts[-1]:
        raise NotReadyError("it has not spoken since its start")
    if not said["partitions"]:
        raise NotReadyError("it has no partition")
    if said["windows_behind"]:
        raise NotReadyError(f"windows are observed again, payments left by partition: {said['windows_behind']}")


def alerts_sink(env: Env) -> None:
    """The sink that runs now says that it has partitions and that PostgreSQL takes what it reads."""
    home = Home(Path(env["LAKEHOUSE_HOME"]))
    said = notes.read(home, "alerts-sink")
    starts = notes.read(home, "starts-alerts-sink").get("recent") or [0.0]
    if said.get("updated_at", 0.0) < starts[-1]:
        raise NotReadyError("it has not spoken since its start")
    if said["trouble"]:
        raise NotReadyError(said["trouble"])


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


def _topics(env: Env) -> set[str]:
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": env["KAFKA_BOOTSTRAP"], "log_level": 0, "socket.timeout.ms": 4000})
    return set(client.list_topics(timeout=TIMEOUT_S).topics)


def _answers(database: str, user: str | None = None, password: str | None = None) -> None:
    import psycopg

    known = {"user": user, "password": password, "connect_timeout": round(TIMEOUT_S)}
    with psycopg.connect(psycopg.conninfo.make_conninfo(database, **known)) as connection:
        connection.execute("SELECT 1")


def _get_json(url: str) -> list[str]:
    return list(json.loads(_get(url)))


def _get(url: str) -> bytes:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NotReadyError(f"HTTP {answer.status} from {parts.path}{_detail(body)}")
    return body


def _detail(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return f": {said['detail']}" if isinstance(said, dict) and said.get("detail") else ""


def s3(env: Env, key: str) -> Any:
    """Return an S3 client that holds the key named `key` in the stack's variables; gives up after 5 s."""
    import urllib3
    from minio import Minio

    pool = urllib3.PoolManager(timeout=TIMEOUT_S, retries=False)
    return Minio(
        env["S3_ENDPOINT"].removeprefix("http://"),
        access_key=env[f"{key}_ACCESS_KEY"],
        secret_key=env[f"{key}_SECRET_KEY"],
        region=env["S3_REGION"],
        secure=False,
        http_client=pool,
    )


def postgres_as_superuser(env: Env) -> "psycopg.Connection[tuple[Any, ...]]":
    """Return a connection of PostgreSQL's superuser, each statement its own transaction; gives up after 5 s."""
    import psycopg

    return psycopg.connect(
        host=env["ALERTS_DATABASE_URL"].rpartition("@")[2].partition(":")[0],
        port=int(env["POSTGRES_PORT"]), user=SUPERUSER, password=env["POSTGRES_ROOT_PASSWORD"], dbname="postgres",
        connect_timeout=round(TIMEOUT_S), autocommit=True, application_name="readiness",
    )  # fmt: skip


def query(env: Env, sql: str, timeout_s: float = TIMEOUT_S) -> list[list[object]]:
    """Return the rows of one statement on Trino; gives up after `timeout_s` seconds without an answer."""
    from trino.dbapi import connect

    from clients.trino import login

    connection = connect(
        host=env["TRINO_HOST"],
        port=int(env["TRINO_PORT"]),
        source="lakehouse-readiness",
        request_timeout=timeout_s,
        max_attempts=1,
        **login("admin", env["TRINO_ADMIN_PASSWORD"], env["TRINO_CA"]),
    )
    cursor = connection.cursor()
    cursor.execute(sql)
    rows: list[list[object]] = cursor.fetchall()
    return rows
