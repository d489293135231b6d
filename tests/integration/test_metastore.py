"""The catalog in a Hive metastore on PostgreSQL: a lake moves into it, dbt's user works on it, and it may be killed."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from trino.dbapi import connect
from trino.exceptions import TrinoQueryError

from clients.trino import login
from infra.native import stackenv
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.state.ready import why_not
from settings import PROJECT_DIR
from tests.conftest import run_native, wait_until

Env = dict[str, str]
ROWS = 1000


@pytest.fixture(scope="module")
def moved() -> Iterator[Home]:
    """A stack whose lake had a table before its catalog was in the metastore."""
    home = Home(Path(tempfile.mkdtemp(prefix="lakehouse-test-")).resolve())
    try:
        done = run_native(home.root, "up", "--only", "minio,postgres,trino", METASTORE="hive")
        assert done.returncode == 0, f"the stack did not start:\n{done.stdout}\n{done.stderr}"
        env = stackenv.required(home)
        write_deltalake("s3://lake/gold/older", pa.table({"n": range(ROWS)}), storage_options=_keys(env))
        variables = {**stackenv.without_stack(), "LAKEHOUSE_HOME": str(home.root)}
        command = [sys.executable, "-m", "lake", "register"]
        said = subprocess.run(command, cwd=PROJECT_DIR, env=variables, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
        yield home
    finally:
        supervise.stop(home)
        shutil.rmtree(home.root, ignore_errors=True)


@pytest.fixture(scope="module")
def env(moved: Home) -> Env:
    """Addresses and secrets of that stack."""
    return stackenv.required(moved)


def _keys(env: Env) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": env["S3_ENDPOINT"],
        "AWS_REGION": env["S3_REGION"],
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": env["S3_TRINO_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": env["S3_TRINO_SECRET_KEY"],
    }


def _as_dbt(env: Env, sql: str) -> list[list[object]]:
    who = login("dbt", env["TRINO_DBT_PASSWORD"], env["TRINO_CA"])
    with connect(host=env["TRINO_HOST"], port=int(env["TRINO_PORT"]), catalog="delta", schema="gold", **who) as trino:
        cursor = trino.cursor()
        cursor.execute(sql)
        rows: list[list[object]] = cursor.fetchall()
        return rows


def _tables(env: Env) -> dict[str, str]:
    address = env["METASTORE_DATABASE_URL"].removeprefix("jdbc:")
    with psycopg.connect(address, user="metastore", password=env["METASTORE_DB_PASSWORD"]) as database:
        rows = database.execute('SELECT "TBL_NAME", "LOCATION" FROM "TBLS" JOIN "SDS" USING ("SD_ID")').fetchall()
        return dict(rows)


def test_a_lake_is_moved_into_it(env: Env) -> None:
    """`lake register` puts the lake's tables into PostgreSQL, each where it lay, and Trino reads the same rows."""
    assert _tables(env)["older"] == "s3://lake/gold/older"
    assert _as_dbt(env, "SELECT count(*), sum(n) FROM older") == [[ROWS, sum(range(ROWS))]]


def test_dbt_works_on_it(env: Env) -> None:
    """What dbt does to tables and views works, and what is dropped leaves no files behind that refuse the next one."""
    for _ in range(2):
        _as_dbt(env, "CREATE TABLE made AS SELECT 1 AS n")
        _as_dbt(env, "INSERT INTO made VALUES 2")
        _as_dbt(env, "CREATE OR REPLACE TABLE made AS SELECT 3 AS n, 'three' AS word")
        _as_dbt(env, "CREATE OR REPLACE VIEW seen SECURITY DEFINER AS SELECT n FROM made")
        _as_dbt(env, "CREATE OR REPLACE VIEW seen SECURITY DEFINER AS SELECT word FROM made")
        _as_dbt(env, "COMMENT ON TABLE made IS 'one row'")
        assert _as_dbt(env, "SELECT * FROM seen") == [["three"]]
        assert _as_dbt(env, "SELECT sum(n) FROM made FOR VERSION AS OF 1") == [[3]]
        assert {"made", "seen"} <= _tables(env).keys()
        _as_dbt(env, "DROP VIEW seen")
        _as_dbt(env, "DROP TABLE made")
    assert _tables(env).keys() == {"older"}


def test_it_holds_no_key_of_the_storage(moved: Home, env: Env) -> None:
    """Its processes know no key of the storage, so whoever enters it reads and writes no data."""
    keys = {env[name] for name in env if name.startswith(("S3_", "AWS_")) and "SECRET" in name}
    processes = supervise.processes(moved, "metastore")
    assert len(processes) == 1
    assert keys
    for process in processes:
        known = {**process.environ(), **dict.fromkeys(process.cmdline())}
        assert not keys & {*known, *known.values()}


def test_it_listens_on_loopback_only(moved: Home, env: Env) -> None:
    """Its door has no lock, so that no other machine may find it."""
    places = {
        place.laddr
        for process in supervise.processes(moved, "metastore")
        for place in process.net_connections()
        if place.status == "LISTEN"
    }
    assert {place.port for place in places} == {int(env["METASTORE_PORT"])}
    assert {place.ip.removeprefix("::ffff:") for place in places} == {"127.0.0.1"}


def test_killed_it_comes_back(moved: Home, env: Env) -> None:
    """After kill -9 a query waits for it, or says that the metastore is away; soon queries are answered again."""
    for process in supervise.processes(moved, "metastore"):
        process.kill()
    try:
        said = str(_as_dbt(env, "SELECT count(*) FROM older"))
    except TrinoQueryError as error:
        said = f"{error.error_name}: {error.message}"
    assert said == f"[[{ROWS}]]" or "metastore" in said.lower()
    wait_until(lambda: why_not("metastore", env) is None, "the metastore is started again")
    assert _as_dbt(env, "SELECT count(*) FROM older") == [[ROWS]]


def test_a_running_stack_keeps_its_metastore(moved: Home, env: Env) -> None:
    """Another METASTORE for a stack that is up is refused with what to do, and so is one that there is not."""
    done = run_native(moved.root, "up", "--only", "minio", METASTORE="file")
    assert done.returncode != 0
    assert "make down" in done.stderr
    assert "lake register" in done.stderr
    unknown = run_native(moved.root, "up", "--only", "minio", METASTORE="glue")
    assert unknown.returncode != 0
    assert "file, hive" in unknown.stderr
    assert stackenv.required(moved) == env
