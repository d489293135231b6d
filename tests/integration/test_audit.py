"""Audits of the past, on a lake whose history is known: docs/audit.md cell by cell, the commands, the refusals."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import Result
from deltalake import DeltaTable
from typer.testing import CliRunner

from clients import delta, s3, trino
from errors import InputError, LakehouseError, ServerError
from lake import reading, upkeep
from lake.audit import known as knowing
from lake.audit import log, rows
from lake.audit.cli import app
from lake.audit.subjects import about, find
from lake.tables import CARD_FEATURES, LABEL_EVENTS, TRANSACTIONS, root, schema_name
from settings import PROJECT_DIR
from tests.integration.audited_lake import DOCUMENT, AuditedLake, cell, march, recipes, verdict


@pytest.fixture(scope="module")
def lake(stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedLake]:
    """The lake of docs/audit.md."""
    made = None
    try:
        made = AuditedLake(tmp_path_factory.mktemp("audit"))
        yield made
    finally:
        if made:
            made.copy.drop()


def audit(*arguments: str) -> Result:
    """Run a command of `python -m lake audit` in this process; to start one takes seconds."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


def told(*arguments: str) -> Any:
    """Return what the command says as JSON."""
    done = audit(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def refused(*arguments: str) -> str:
    """Return the error that ends a command."""
    done = audit(*arguments)
    assert isinstance(done.exception, LakehouseError), (done.output, done.exception)
    return str(done.exception)


@pytest.mark.parametrize("number", range(len(recipes())))
def test_each_recipe_gives_the_answer_below_it(lake: AuditedLake, number: int) -> None:
    """A statement pasted from the document gives the document's answer, cell by cell."""
    sql, (_, *wanted) = recipes()[number]
    found = [[cell(value) for value in row] for row in lake.sql(sql)]
    assert len(found) == len(wanted), found
    for row, shown in zip(found, wanted, strict=True):
        assert [value for value, cell in zip(row, shown, strict=True) if cell != "…"] == [c for c in shown if c != "…"]


def test_every_statement_of_the_document_is_run() -> None:
    """No block of SQL stands there without an answer, where it would not be tried."""
    assert len(recipes()) == DOCUMENT.read_text().count("```sql") >= 10


def test_a_version_is_tied_to_the_run_that_made_it(lake: AuditedLake) -> None:
    """Each version with rows names the invocation that dbt itself reported, in SQL and by the command."""
    sql = next(sql for sql, _ in recipes() if "label_events$history" in sql)
    by_sql = {row[0]: row[-1] for row in lake.sql(sql)}
    versions = told("versions", str(LABEL_EVENTS))
    by_command = {each["number"]: (each["run"] or {}).get("invocation_id") for each in versions}
    assert by_sql == by_command
    assert [by_sql[version] for version in (0, 3, 4)] == lake.invocations


def test_the_stream_s_versions_name_their_batch(lake: AuditedLake) -> None:
    """Bronze's rows say which batch brought them; a version of another writer has no invocation."""
    found = told("changes", "bronze.transactions", "--from", "1", "--to", "2")
    (change,) = found["changes"]
    assert (change["kind"], change["after"]["transaction_id"], change["after"]["batch_id"]) == ("insert", "p5", 2)


def test_a_card_then(lake: AuditedLake) -> None:
    """`audit at` gives the profile of then, by time and by version, not that of now."""
    by_time = told("at", str(CARD_FEATURES), "--card", "card-a", "--time", lake.shown_moment)
    by_number = told("at", str(CARD_FEATURES), "--card", "card-a", "--version", "2")
    assert by_time["rows"] == by_number["rows"]
    assert {row["as_of_day"]: row["card_tx_count_30d"] for row in by_time["rows"]} == {
        "2024-03-02": 1.0,
        "2024-03-03": 2.0,
        "2024-03-04": 2.0,
        "2024-03-05": 3.0,
    }
    (one,) = told("at", "silver.transactions", "--where", "transaction_id=p1", "--version", "0")["rows"]
    assert one["card_id"] == "card-a"


def test_changes_give_old_and_new(lake: AuditedLake) -> None:
    """`audit changes` gives each row's values before and after, a card's labels by its payments."""
    profiles = told("changes", str(CARD_FEATURES), "--from", lake.shown_moment, "--card", "card-a")
    assert profiles["from_feed"]
    assert [
        (each["kind"], each["version"], each["before"]["card_tx_count_30d"], each["after"]["card_tx_count_30d"])
        for each in profiles["changes"]
    ] == [("update", 3, 2.0, 3.0), ("update", 3, 3.0, 4.0)]
    labels = told("changes", str(LABEL_EVENTS), "--from", lake.shown_moment, "--card", "card-a")
    assert [(each["version"], each["after"]["verdict"]) for each in labels["changes"]] == [(3, "fraud"), (4, "genuine")]
    assert told("changes", str(LABEL_EVENTS), "--from", lake.shown_moment, "--card", "card-b")["changes"] == []


def test_known_beside_stored_with_each_cause(lake: AuditedLake) -> None:
    """Every row that differs has its cause from recorded times, with the version and the run that stored it."""
    payments, labels, _, profiles = told_known(lake)
    assert {each["key"]["transaction_id"]: each["cause"] for each in payments["differences"]} == {
        "p5": "arrived later",
        "p6": "built later",
    }
    assert (payments["known"], payments["stored"], payments["agree"]) == (5, 3, 3)
    assert all(lake.invocations[1] in each["why"] and "version 3" in each["why"] for each in payments["differences"])
    assert [each["cause"] for each in labels["differences"]] == ["arrived later", "arrived later"]
    assert [(each["key"]["as_of_day"], each["cause"]) for each in profiles["differences"]] == [
        ("2024-03-04", "rewritten later"),
        ("2024-03-05", "rewritten later"),
    ]
    assert all(each["why"].endswith("built in between: p5") for each in profiles["differences"])
    assert profiles["differences"][0]["values"]["card_tx_count_30d"] == [2.0, 3.0]


def told_known(lake: AuditedLake) -> Any:
    """Return the comparisons of the tables that this lake has (it has no decisions)."""
    names = ("silver.transactions", "silver.label_events", "gold.card_features_daily")
    found = [
        each for name in names for each in told("known", "--card", "card-a", "--at", lake.shown_moment, "--table", name)
    ]
    return found[0], found[1], None, found[2]


def test_tables_are_printed_for_people(lake: AuditedLake) -> None:
    """Without --json each command prints what a person can read."""
    assert "card_tx_count_30d" in audit("at", str(CARD_FEATURES), "--card", "card-a", "--version", "2").stdout
    assert "2.0 → 3.0" in audit("changes", str(CARD_FEATURES), "--from", "2", "--card", "card-a").stdout
    assert "dbt run" in " ".join(audit("versions", str(LABEL_EVENTS)).stdout.split())
    said = audit("known", "--card", "card-a", "--at", lake.shown_moment, "--table", str(TRANSACTIONS)).stdout
    assert "built" in said
    assert "arrived" in said


def test_a_refusal_is_one_sentence_and_no_traceback(lake: AuditedLake) -> None:
    """As a person calls it: exit code 1, the sentence, nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "lake", "audit", "at", "gold.card_feature_daily", "--version", "0"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean gold.card_features_daily" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("at", "gold.card_feature_daily", "--version", "0"), "did you mean gold.card_features_daily"),
        (("at", "gold.card_features_daily", "--card", "nobody", "--version", "0"), "says nothing of nobody"),
        (("at", "gold.card_features_daily", "--time", "2026-11-22 14:30"), "names no zone"),
        (("at", "gold.card_features_daily", "--time", "yesterday"), "is not a time"),
        (("at", "gold.card_features_daily", "--time", "2999-01-01T00:00Z"), "has not come yet"),
        (("at", "gold.card_features_daily", "--time", "2020-01-01T00:00Z"), "its oldest version is 0, of 20"),
        (("at", "gold.card_features_daily", "--version", "99"), "has no version 99: the log has version 0"),
        (("at", "gold.card_features_daily", "--version", "0", "--where", "colour=red"), "with a column of"),
        (("at", "gold.card_features_daily"), "either --time or --version"),
        (("at", "silver.exchange_rates", "--card", "x", "--version", "0"), "says nothing about single cards"),
        (("changes", "gold.card_features_daily", "--from", "3", "--to", "2"), "--from is later than --to"),
        (("known", "--at", "2024-01-01T00:00Z"), "give --card"),
        (("known", "--at", "2024-01-01T00:00Z", "--table", "ops.dbt_runs", "--where", "model=x"), "no column that"),
    ],
)
def test_what_cannot_be_answered_is_refused(lake: AuditedLake, arguments: tuple[str, ...], says: str) -> None:
    """Each bad question gets one sentence that names what to do next, and no traceback."""
    assert says in " ".join(refused(*arguments).split())


def test_retention_stands_on_every_table_and_less_is_refused(lake: AuditedLake) -> None:
    """Upkeep sets 30 days on every table of Trino's, once; both it and Trino refuse to remove what is younger."""
    assert {str(each.table) for each in lake.kept} >= {str(TRANSACTIONS), str(CARD_FEATURES), str(log.RUNS)}
    for kept in lake.kept:
        configuration = reading.open_table(kept.table).metadata().configuration
        assert configuration.items() >= upkeep.RETENTION.items()
    before = {str(each.table): reading.open_table(each.table).version() for each in lake.kept}
    assert not any(each.retention_set or each.partitions_compacted for each in upkeep.keep())
    assert {str(each.table): reading.open_table(each.table).version() for each in lake.kept} == before
    with pytest.raises(InputError, match="29 days are fewer than the 30"):
        next(upkeep.keep(29))
    with pytest.raises(ServerError, match="shorter than the minimum retention"):
        trino.query(f"call delta.system.vacuum('{schema_name('gold')}', 'card_features_daily', '29d')")


def test_compaction_leaves_the_past_and_the_feed(lake: AuditedLake) -> None:
    """Many small files become one in a version that changes no row; older versions and the feed stay."""
    name = f"delta.{schema_name('gold')}.crowded"
    trino.query(
        f"create table {name} (day date, n bigint) with (partitioned_by = array['day'], "
        "change_data_feed_enabled = true)"
    )
    for n in range(upkeep.MANY_FILES):
        trino.query(f"insert into {name} values (date '2024-03-01', {n}), (date '2024-03-02', {n})")
    trino.query(f"insert into {name} values (date '2024-03-03', 9)")
    (kept,) = [each for each in upkeep.keep() if each.table.name == "crowded"]
    assert (kept.partitions_compacted, kept.files_before, kept.files_after) == (2, 9, 3)
    assert trino.query(f"select count(*) from {name} for version as of 2") == [(4,)]
    subject = find("gold.crowded")
    assert told("changes", "gold.crowded", "--from", "5")["changes"] == []
    assert len(told("changes", "gold.crowded", "--from", "0")["changes"]) == 9
    assert log.newest(subject.table).operation == "OPTIMIZE"
    trino.query(f"drop table {name}")


def test_a_vacuumed_version_names_the_oldest_that_is_left(lake: AuditedLake) -> None:
    """After files of old versions are gone, asking for one says so, and names a version that does answer."""
    name = f"delta.{schema_name('gold')}.old"
    trino.query(f"create table {name} (n bigint)")
    trino.query(f"insert into {name} values 1")
    trino.query(f"update {name} set n = 2")
    with trino.connection(admin=True) as opened:
        trino.run(opened, "set session delta.vacuum_min_retention = '0s'")
        trino.run(opened, f"call delta.system.vacuum('{schema_name('gold')}', 'old', '0s')")
    subject = find("gold.old")
    assert log.oldest_readable(subject.table).number == 2
    said = " ".join(refused("at", "gold.old", "--version", "1").split())
    assert "version 1 (" in said
    assert "can no longer be read" in said
    assert "The oldest that can is version 2" in said
    assert rows.at(subject, log.read(subject.table, 2), about(subject, None)) == [{"n": 2}]
    trino.query(f"drop table {name}")


def test_a_log_that_was_cut_names_its_oldest_version(lake: AuditedLake) -> None:
    """Where the log itself begins later, as Bronze's does after 30 days, its first version and time are named."""
    table = find("bronze.labels").table
    first = f"{table.path.removeprefix(root() + '/')}/_delta_log/{0:020}.json"
    DeltaTable(table.path, storage_options=delta.options("spark")).create_checkpoint()
    saved = s3.read(first, "spark")
    assert saved is not None
    s3.delete(first, "spark")
    try:
        with pytest.raises(InputError, match=r"oldest version is 1, of .* the log before it was removed"):
            log.at(table, datetime(2024, 1, 1, tzinfo=UTC))
    finally:
        s3.create(first, saved.body, "spark")


def test_a_full_refresh_ends_the_feed_and_versions_are_compared(lake: AuditedLake) -> None:
    """Across `dbt run --full-refresh` changes come from comparing versions; afterwards the feed is on again."""
    before = log.newest(find(str(LABEL_EVENTS)).table).number
    lake.copy.dbt("run", "--full-refresh", "--select", "label_events")
    found = told("changes", str(LABEL_EVENTS), "--from", "2", "--card", "card-a")
    assert not found["from_feed"]
    assert {each["after"]["verdict"] for each in found["changes"]} == {"fraud", "genuine"}
    operations = [log.read(LABEL_EVENTS, n).operation for n in range(before + 1, before + 4)]
    assert operations == ["SET TBLPROPERTIES", "CREATE OR REPLACE TABLE AS SELECT", "SET TBLPROPERTIES"]
    assert reading.open_table(LABEL_EVENTS).metadata().configuration["delta.enableChangeDataFeed"] == "true"
    assert knowing.compare(str(LABEL_EVENTS), lake.moment, "card-a").stored == 0


def test_a_table_without_a_feed_gets_one_before_it_changes(lake: AuditedLake) -> None:
    """A table from before there were feeds, or of a run killed in between: the next run's own change is in the feed."""
    name = f"delta.{schema_name('silver')}.label_events"
    trino.query(f"alter table {name} set properties change_data_feed_enabled = false")
    off = log.newest(LABEL_EVENTS).number
    lake.copy.labels.append([verdict("p4", march(25, 9), "issuer_report", "fraud")])
    lake.copy.dbt("run", "--select", "label_events")
    found = told("changes", str(LABEL_EVENTS), "--from", str(off), "--card", "card-b")
    assert found["from_feed"]
    assert [(each["version"], each["after"]["transaction_id"]) for each in found["changes"]] == [(off + 2, "p4")]
