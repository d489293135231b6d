"""Who may do what on Trino: every user, schema and verb is tried, and the outcome is the table in docs/operator.md."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest
import requests
from deltalake import write_deltalake
from rich.console import Console
from rich.table import Table as Grid
from trino.dbapi import connect
from trino.exceptions import HttpError, TrinoConnectionError, TrinoQueryError

from clients import delta
from clients.trino import login
from infra.native.setup.trino_access import USERS, password
from settings import PROJECT_DIR

Env = dict[str, str]
SCHEMAS = ("bronze", "silver", "gold", "ops")
TABLE, SPARE = "rights_probe", "rights_spare"
VERBS = {
    "select": "SELECT * FROM {table}",
    "insert": "INSERT INTO {table} VALUES 2",
    "update": "UPDATE {table} SET one = 3 WHERE one = -1",
    "delete": "DELETE FROM {table} WHERE one = -1",
    "create": "CREATE TABLE {schema}.rights_new AS SELECT 1 AS one",
    "comment": "COMMENT ON TABLE {table} IS 'tried'",
    "optimize": "ALTER TABLE {table} EXECUTE optimize",
    "vacuum": "CALL delta.system.vacuum('{name}', 'rights_probe', '30d')",
    "drop": "DROP TABLE {schema}.rights_spare",
}


@dataclass(frozen=True)
class Trino:
    """One user's way in."""

    env: Env
    user: str

    def query(self, sql: str) -> list[list[object]]:
        """Run one statement and return its rows."""
        opened = connect(
            host=self.env["TRINO_HOST"],
            port=int(self.env["TRINO_PORT"]),
            catalog="delta",
            max_attempts=1,
            **login(self.user, self.env[password(self.user)], self.env["TRINO_CA"]),
        )
        cursor = opened.cursor()
        cursor.execute(sql)
        rows: list[list[object]] = cursor.fetchall()
        return rows

    def may(self, sql: str) -> bool:
        """Try a statement: True if it was done, False if a right was missing, here or at the storage."""
        try:
            self.query(sql)
        except TrinoQueryError as error:
            told = f"{error.message} {error.failure_info}"
            if error.error_name in {"PERMISSION_DENIED", "QUERY_REJECTED"} or "Access Denied" in told:
                return False
            raise
        return True


@pytest.fixture(scope="module")
def entered(stack_env: Env) -> Callable[[str], Trino]:
    """Return the way in of a user of the running stack."""
    return lambda user: Trino(stack_env, user)


@pytest.fixture(scope="module")
def probes(stack_env: Env, entered: Callable[[str], Trino]) -> Iterator[Callable[[str], None]]:
    """A small table in each schema, written by the engine that owns it, and what makes the spare one again."""
    admin = entered("admin")

    def make(schema: str, name: str) -> None:
        if schema != "bronze":
            entered("dbt").query(f"CREATE TABLE IF NOT EXISTS {schema}.{name} AS SELECT 1 AS one")
        elif not admin.query(f"SHOW TABLES FROM bronze LIKE '{name}'"):
            folder = f"s3://{stack_env['S3_BUCKET']}/bronze/{name}"
            rows = pa.table({"one": pa.array([1], pa.int32())})
            write_deltalake(folder, rows, mode="overwrite", storage_options=delta.options("spark"))
            admin.query(f"CALL delta.system.register_table('bronze', '{name}', '{folder}')")

    for schema in SCHEMAS:
        make(schema, TABLE)
        make(schema, SPARE)
    yield lambda schema: make(schema, SPARE)
    for schema in SCHEMAS:
        for name in (TABLE, SPARE, "rights_new"):
            admin.query(f"DROP TABLE IF EXISTS {schema}.{name}")


def test_what_each_user_may_do_is_what_the_documentation_says(
    entered: Callable[[str], Trino], probes: Callable[[str], None]
) -> None:
    """20 pairs of user and schema, nine verbs each, really tried; the printed table equals the documented one."""
    found = {}
    for user in USERS:
        for schema in SCHEMAS:
            names = {"name": schema, "schema": f"delta.{schema}", "table": f"delta.{schema}.{TABLE}"}
            allowed = {verb for verb, sql in VERBS.items() if entered(user).may(sql.format(**names))}
            if "create" in allowed:
                entered("admin").query(f"DROP TABLE {schema}.rights_new")
            probes(schema)
            found[user, schema] = allowed
    grid = Grid("user", "schema", *VERBS, title="What each user may do")
    for (user, schema), allowed in found.items():
        grid.add_row(user, schema, *("yes" if verb in allowed else "-" for verb in VERBS))
    Console(width=120).print(grid)
    assert found == documented()


def documented() -> dict[tuple[str, str], set[str]]:
    """Return the table of docs/operator.md: user and schema to the verbs that are allowed."""
    text = (PROJECT_DIR / "docs" / "operator.md").read_text()
    head, *rows = re.findall(r"^\| (user|admin|dbt|analyst|auditor|superset) \| (.*) \|$", text, re.MULTILINE)
    verbs = [verb.strip() for verb in head[1].split("|")][1:]
    assert verbs == list(VERBS)
    read = {}
    for user, cells in rows:
        schema, *said = [cell.strip() for cell in cells.split("|")]
        read[user, schema] = {verb for verb, word in zip(verbs, said, strict=True) if word == "yes"}
    return read


def test_a_refusal_names_the_right_that_is_missing(
    entered: Callable[[str], Trino], probes: Callable[[str], None]
) -> None:
    """An analyst reads what it was that is not allowed, and on what."""
    assert probes
    with pytest.raises(TrinoQueryError, match=r"Cannot select from .*bronze\.rights_probe"):
        entered("analyst").query(f"SELECT * FROM bronze.{TABLE}")
    with pytest.raises(TrinoQueryError, match=r"Cannot insert into .*silver\.rights_probe"):
        entered("auditor").query(f"INSERT INTO silver.{TABLE} VALUES 2")


def test_nobody_but_admin_may_shorten_the_time_that_a_vacuum_leaves(entered: Callable[[str], Trino]) -> None:
    """The session property that would lower the 30 days is refused to the one who may call vacuum."""
    with pytest.raises(TrinoQueryError, match="Cannot set catalog session property"):
        entered("dbt").query("SET SESSION delta.vacuum_min_retention = '0s'")


def test_an_analyst_sees_bronze_through_a_definers_view_only(
    entered: Callable[[str], Trino], probes: Callable[[str], None]
) -> None:
    """Dbt's view shows what its maker may read; Bronze's tables, their changes and their history stay closed."""
    assert probes
    entered("dbt").query(f"CREATE OR REPLACE VIEW silver.rights_view AS SELECT one FROM bronze.{TABLE}")
    try:
        assert entered("analyst").query("SELECT one FROM silver.rights_view") == [[1]]
        with pytest.raises(TrinoQueryError, match="Cannot show tables"):
            entered("analyst").query("SHOW TABLES FROM bronze")
        changes = f"SELECT * FROM TABLE(delta.system.table_changes('bronze', '{TABLE}', 0))"
        with pytest.raises(TrinoQueryError, match="Access Denied"):
            entered("analyst").query(changes)
        with pytest.raises(TrinoQueryError, match="Access Denied"):
            entered("analyst").query(f'SELECT * FROM bronze."{TABLE}$history"')
    finally:
        entered("dbt").query("DROP VIEW silver.rights_view")


def test_only_auditor_and_admin_see_the_queries_of_others(entered: Callable[[str], Trino]) -> None:
    """An analyst's list of queries has its own alone."""
    seen = 'SELECT DISTINCT "user" FROM system.runtime.queries'
    assert entered("analyst").query(seen) == [["analyst"]]
    assert {"analyst", "auditor"} <= {str(row[0]) for row in entered("auditor").query(seen)}


def test_nobody_enters_without_a_password_or_in_anothers_name(stack_env: Env) -> None:
    """A wrong password, plain HTTP and a claim to be somebody else are refused."""
    with pytest.raises(HttpError, match="401"):
        Trino(stack_env | {password("analyst"): "wrong"}, "analyst").query("SELECT 1")
    with pytest.raises((TrinoConnectionError, requests.RequestException, HttpError)):
        Trino(stack_env | {password("analyst"): ""}, "analyst").query("SELECT 1")
    url = f"https://{stack_env['TRINO_HOST']}:{stack_env['TRINO_PORT']}/v1/statement"
    session = requests.Session()
    session.trust_env = False
    answer = session.post(
        url,
        data="SELECT 1",
        auth=("analyst", stack_env[password("analyst")]),
        verify=stack_env["TRINO_CA"],
        headers={"X-Trino-User": "admin"},
        timeout=30,
    )
    told = (
        session.get(
            answer.json()["nextUri"],
            auth=("analyst", stack_env[password("analyst")]),
            verify=stack_env["TRINO_CA"],
            timeout=30,
        ).text
        if answer.ok
        else answer.text
    )
    assert "Access Denied: User analyst cannot impersonate user admin" in told


def test_a_stranger_is_not_taken_for_this_stacks_trino(stack_env: Env) -> None:
    """Without the stack's own certificate authority a client refuses the server."""
    with pytest.raises((TrinoConnectionError, requests.RequestException)):
        Trino(stack_env | {"TRINO_CA": "/etc/ssl/certs/ca-certificates.crt"}, "analyst").query("SELECT 1")
