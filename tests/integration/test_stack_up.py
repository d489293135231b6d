"""The native stack as its users see it: addresses, loopback only, private keys of each engine, status."""

import ipaddress
import stat
import subprocess

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from trino.exceptions import TrinoQueryError

from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.processes.services import SERVICES
from infra.native.state.asking import query
from infra.native.state.ready import CONDITIONS, why_not
from tests.conftest import SERVERS, run_native

Env = dict[str, str]
OURS = {"bronze", "scorer", "scorer-alive", "stream", "alerts-sink", "desk", "superset", "metastore"}
"""Services of our own code, and those that do not start by default; their own tests have them."""


def test_every_condition_holds_after_up(stack_env: Env) -> None:
    """After `up`, each server answers its real request and is set up."""
    reasons = {name: why_not(name, stack_env) for name in CONDITIONS if name not in OURS}
    assert {name: reason for name, reason in reasons.items() if reason} == {}


def test_everything_listens_on_loopback_only(stack: Home) -> None:
    """No process of the stack accepts a connection from another machine."""
    listening = {
        (connection.laddr.ip, connection.laddr.port, process.pid)
        for process in supervise.processes(stack)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    ports = {port for _, port, _ in listening}
    env = stackenv.required(stack)
    names = ("KAFKA_PORT", "REGISTRY_PORT", "S3_PORT", "TRINO_PORT", "REDIS_PORT", "POSTGRES_PORT")
    assert {int(env[name]) for name in names} <= ports
    outside = {place for place in listening if not ipaddress.ip_address(place[0].removeprefix("::ffff:")).is_loopback}
    assert outside == set()


def test_secrets_are_readable_by_their_owner_only(stack: Home) -> None:
    """Files that hold secrets have no rights for group and others."""
    written = [stack.etc / name for name in ("redis.conf", "kafka.properties", "postgresql.conf")]
    for path in (stack.env_file, *written):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_env_gives_a_shell_every_address_and_no_engine_key(stack: Home) -> None:
    """`eval "$(make -s env)"` sets what users need; root's and the engines' keys stay in the file."""
    lines = run_native(stack.root, "env").stdout
    shell = ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", f"{lines}\nenv"]
    said = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    names = {line.split("=", 1)[0] for line in said.splitlines() if "=" in line}
    wanted = """KAFKA_BOOTSTRAP REGISTRY_URL TRINO_HOST TRINO_PORT TRINO_USER TRINO_PASSWORD S3_ENDPOINT REDIS_URL
        ALERTS_DATABASE_URL
        AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_TRACKING_URI API_URL DESK_URL API_KEY LAKEHOUSE_HOME
        DBT_PROFILES_DIR"""
    assert set(wanted.split()) <= names
    env = stackenv.required(stack)
    keys = ("S3_ROOT_SECRET_KEY", "S3_SPARK_SECRET_KEY", "S3_TRINO_SECRET_KEY", "CARD_HASH_KEY")
    for secret in (*keys, "POSTGRES_ROOT_PASSWORD"):
        assert env[secret] not in lines


def _s3(env: Env, key: str, secret: str):
    return boto3.client(
        "s3",
        endpoint_url=env["S3_ENDPOINT"],
        region_name=env["S3_REGION"],
        aws_access_key_id=env[key],
        aws_secret_access_key=env[secret],
    )


ENGINES = {
    "spark": ("S3_SPARK_ACCESS_KEY", "S3_SPARK_SECRET_KEY"),
    "trino": ("S3_TRINO_ACCESS_KEY", "S3_TRINO_SECRET_KEY"),
    "reader": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "mlflow": ("S3_MLFLOW_ACCESS_KEY", "S3_MLFLOW_SECRET_KEY"),
}


@pytest.mark.parametrize(
    ("engine", "key", "may_write", "may_read"),
    [
        ("spark", "bronze/t/x", True, True),
        ("spark", "_leases/x", True, True),
        ("spark", "silver/t/x", False, False),
        ("spark", "gold/t/x", False, False),
        ("spark", "_metastore/x", False, False),
        ("trino", "bronze/t/x", False, True),
        ("trino", "silver/t/x", True, True),
        ("trino", "gold/t/x", True, True),
        ("trino", "ops/t/x", True, True),
        ("spark", "ops/t/x", False, False),
        ("trino", "_checkpoints/x", False, False),
        ("reader", "bronze/t/x", False, True),
        ("reader", "gold/t/x", False, True),
        ("mlflow", "gold/t/x", False, False),
    ],
)
def test_each_key_reaches_its_own_part_of_the_lake(
    stack_env: Env, engine: str, key: str, may_write: bool, may_read: bool
) -> None:
    """Spark's key is refused on Silver and Gold, Trino's on writing Bronze, the reader's on any write."""
    key = f"{key}-{engine}"
    root = _s3(stack_env, "S3_ROOT_ACCESS_KEY", "S3_ROOT_SECRET_KEY")
    root.put_object(Bucket="lake", Key=key, Body=b"planted")
    try:
        client = _s3(stack_env, *ENGINES[engine])
        assert _allowed(lambda: client.get_object(Bucket="lake", Key=key)) == may_read
        assert _allowed(lambda: client.put_object(Bucket="lake", Key=key, Body=b"new")) == may_write
        assert _allowed(lambda: client.delete_object(Bucket="lake", Key=key)) == may_write
    finally:
        root.delete_object(Bucket="lake", Key=key)


def _allowed(call) -> bool:
    try:
        call()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
        return False
    return True


def test_a_missing_object_is_not_found_rather_than_refused(stack_env: Env) -> None:
    """An engine that looks for a file that is not there hears 404, else Delta's log could not be written."""
    client = _s3(stack_env, *ENGINES["spark"])
    with pytest.raises(ClientError) as caught:
        client.head_object(Bucket="lake", Key="bronze/none/_delta_log/00000000000000000000.json")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_trino_writes_gold_and_cannot_write_bronze(stack_env: Env) -> None:
    """Through Trino a table can be made in Gold; in Bronze the storage refuses it."""
    query(stack_env, "CREATE TABLE delta.gold.key_probe AS SELECT 1 AS one", timeout_s=60)
    try:
        assert query(stack_env, "SELECT one FROM delta.gold.key_probe", timeout_s=60) == [[1]]
        with pytest.raises(TrinoQueryError):
            query(stack_env, "CREATE TABLE delta.bronze.key_probe AS SELECT 1 AS one", timeout_s=60)
        root = _s3(stack_env, "S3_ROOT_ACCESS_KEY", "S3_ROOT_SECRET_KEY")
        assert root.list_objects_v2(Bucket="lake", Prefix="bronze/key_probe")["KeyCount"] == 0
    finally:
        query(stack_env, "DROP TABLE IF EXISTS delta.gold.key_probe", timeout_s=60)


def test_status_names_every_service_and_its_address(stack: Home) -> None:
    """`status` shows each service with state and address, and says that there was no refresh."""
    said = run_native(stack.root, "status", "--once").stdout
    env = stackenv.required(stack)
    for text in SERVICES:
        assert text in said
    assert said.count("ready") >= 7
    assert env["KAFKA_BOOTSTRAP"] in said
    assert "last refresh" in said


def test_the_latency_path_has_cpu_priority(stack: Home) -> None:
    """The running servers have the priorities of the plan: Valkey before the brokers, those before Trino."""
    niceness = {
        name: psutil.Process(int(record["pid"])).nice()
        for name, record in supervise.states(stack).items()
        if record["pid"]
    }
    assert niceness["redis"] < niceness["kafka"] == niceness["postgres"] == niceness["minio"] < niceness["trino"]


def test_up_again_changes_nothing(stack: Home) -> None:
    """A second `up` finds everything running: same processes, same secrets."""
    before = {process.pid for process in supervise.processes(stack)}
    env = stackenv.required(stack)
    done = run_native(stack.root, "up", "--only", ",".join(SERVERS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert stackenv.required(stack) == env
    assert {process.pid for process in supervise.processes(stack)} == before
