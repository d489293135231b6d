"""The stack's own servers, each asked one thing by a client that gives up after 5 s."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from errors import ServerError

if TYPE_CHECKING:
    import psycopg

Env = Mapping[str, str]
TIMEOUT_S = 5.0
SUPERUSER = "postgres"


class NotReadyError(Exception):
    """A condition does not hold yet; its text says what was answered."""


def topics(env: Env) -> set[str]:
    """Return the names of the broker's topics."""
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": env["KAFKA_BOOTSTRAP"], "log_level": 0, "socket.timeout.ms": 4000})
    return set(client.list_topics(timeout=TIMEOUT_S).topics)


def database(address: str, user: str | None = None, password: str | None = None) -> None:
    """Ask the PostgreSQL database at `address` something as its user."""
    import psycopg

    known = {"user": user, "password": password, "connect_timeout": round(TIMEOUT_S)}
    with psycopg.connect(psycopg.conninfo.make_conninfo(address, **known)) as connection:
        connection.execute("SELECT 1")


def get_json(url: str, ca: str = "") -> list[str]:
    """Return the items, or the names, of the JSON at `url`."""
    return list(json.loads(get(url, ca)))


def get(url: str, ca: str = "") -> bytes:
    """Return the page at `url`; NotReadyError with what a server says of itself unless it answers with 200.

    `ca` is the file of the authority that an https server must be known by.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context(cafile=ca or None)
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    )
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
        port=int(env["POSTGRES_PORT"]),
        user=SUPERUSER,
        password=env["POSTGRES_ROOT_PASSWORD"],
        dbname="postgres",
        connect_timeout=round(TIMEOUT_S),
        autocommit=True,
        application_name="readiness",
    )


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


def memory_of(url: str) -> str:
    """Return in words how full a store's memory is, loudly when it is nearly full; empty if it does not say."""
    from redis import Redis

    from clients.redis import GB, memory

    try:
        with Redis.from_url(url, socket_timeout=TIMEOUT_S) as connection:
            found = memory(connection)
    except ServerError:
        return ""
    if not found.limit:
        return ""
    words = f"memory {found.share:.0%} of {found.limit / GB:.2f} GB"
    return f"{words}: NEARLY FULL, raise maxmemory; see `python -m serving memory`" if found.trouble else words
