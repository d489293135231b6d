"""What serving knew is what the lake says it should have known; every other case has a recorded cause or is found."""

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import features
from epoch import from_us
from errors import ContractError, InputError
from features import NAMES
from lake.parity import landed, logged
from lake.tables import BRONZE_DECISIONS, BRONZE_TRANSACTIONS
from ml import __main__ as commands
from ml.parity import comparison as parity
from ml.parity.comparison import compare
from serving.records import against_lake
from serving.records import find as recorded
from tests import parity_lake

AMOUNT = NAMES.index("amount")
ALWAYS = 2**52


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake of three days in which Redis was away, then lost, and Gold was written again."""
    return parity_lake.make(tmp_path_factory.mktemp("faults"), 3_000, 60)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A lake of three days in which only payments were late."""
    return parity_lake.make(tmp_path_factory.mktemp("quiet"), 1_500, 40, seed=2, faults=False)


def decisions(made):
    return logged.read(made.tables[BRONZE_DECISIONS], 0, ALWAYS)


def compared(made, rows=None, outages=None):
    found = logged.outages(made.tables[BRONZE_DECISIONS], made.start_us, ALWAYS) if outages is None else outages
    return compare(made.tables, decisions(made) if rows is None else rows, found)


def replaced(rows, name, values):
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows.schema.field(name).type))


def told(rows, change):
    """The decisions with the groups of each changed by a function of them."""
    groups = [json.loads(each) for each in rows["groups"].to_pylist()]
    return replaced(rows, "groups", [json.dumps(change(each) or each) for each in groups])


def causes(found, *words):
    return sum(count for cause, count in found.causes.items() if all(word in cause for word in words))


def test_everything_that_differs_has_its_cause(lake):
    """An outage, a loss, profiles pushed late and written again: each difference has that cause, and none has none."""
    found = compared(lake)
    assert found.examples == []
    assert found.unexplained == found.waiting == found.missing == 0
    assert found.decisions == found.compared == lake.decisions
    assert causes(found, "window", "did not answer") == len(lake.befell["away"])
    assert causes(found, "window", "being made again") == len(lake.befell["losing"])
    for words in (
        ("made again from 25 hours",),
        ("card", "another profile version"),
        ("written later",),
        ("card", "1 day behind"),
        ("card", "later day than the payment"),
    ):
        assert causes(found, *words), words
    assert all(each.equal + each.causes.total() == each.compared for each in found.features)


def test_without_faults_windows_are_equal_to_the_bit(quiet):
    """Late, repeated and refunded payments alone: all windows and all of the payment's own features are equal."""
    found = compared(quiet)
    assert found.unexplained == 0
    for feature in (*features.TRANSACTION, *features.WINDOW):
        assert found.features[NAMES.index(feature.name)].equal == found.compared


@pytest.mark.parametrize("name", ["amount", "tx_count_24hr", "card_avg_amount_7d", "amount_vs_avg_ratio"])
def test_a_logged_value_that_is_off_by_a_bit_is_unexplained(quiet, name):
    """One bit of one feature in ten decisions is found ten times, in that feature alone."""
    rows, place = decisions(quiet), NAMES.index(name)
    matrix = logged.matrix(rows["vector"]).copy()
    chosen = np.flatnonzero(~np.isnan(matrix[:, place]))[:10]
    matrix.view(np.int32)[chosen, place] ^= 1
    found = compared(quiet, replaced(rows, "vector", [row.tobytes() for row in matrix]))
    assert {each.name: each.unexplained for each in found.features if each.unexplained} == {name: 10}
    assert found.unexplained == 10
    assert found.features[place].largest > 0
    assert {each.feature for _, each in found.examples} == {name}


def test_a_planted_bug_in_a_formula_is_unexplained(quiet, monkeypatch):
    """A formula that is another one offline than it was online shows in its features, and in no others."""
    monkeypatch.setattr(features, "HIGH_RISK_MCC", frozenset({"5411"}))
    found = compared(quiet)
    wrong = {each.name for each in found.features if each.unexplained}
    assert wrong == {"is_high_risk_mcc", "high_risk_merchant_count_1hr"}
    assert found.causes[parity.UNEXPLAINED] > 100


def test_a_planted_bug_in_windows_is_unexplained(lake, monkeypatch):
    """A window with another bound is found though the lake also had an outage that explains other windows."""
    monkeypatch.setattr(features.windows, "HOUR_US", features.windows.HOUR_US + 600_000_000)
    wrong = {each.name for each in compared(lake).features if each.unexplained}
    assert {"tx_count_1hr", "avg_amount_1hr"} <= wrong <= {each.name for each in features.WINDOW}


def test_a_loss_that_nothing_recorded_is_unexplained(lake):
    """Windows that forgot have a cause only if some decision said that windows were missing."""
    found = compared(lake, outages=[])
    assert {each.name for each in found.features if each.unexplained} <= {each.name for each in features.WINDOW}
    assert found.unexplained > 0
    assert causes(found, "made again from 25 hours") == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda groups: groups["card"].update(status="stale"),  # though its day is young enough
        lambda groups: groups["card"].update(status="new"),  # though the row was published
        lambda groups: groups["card"].update(status="future"),  # though its day is not after the payment's
        lambda groups: groups["card"].update(profile_version=7),  # that no run wrote
        lambda groups: groups.pop("card"),
    ],
    ids=["stale", "new", "future", "version", "nothing"],
)
def test_a_cause_must_fit_its_record(quiet, change):
    """Blank profiles are unexplained where the record's own status, day or version contradicts that they were so."""
    rows = decisions(quiet)
    first = NAMES.index(features.CARD[0].name)
    matrix = logged.matrix(rows["vector"]).copy()
    fresh = [json.loads(each)["card"]["status"] == "fresh" for each in rows["groups"].to_pylist()]
    matrix[fresh, first : first + len(features.CARD)] = np.nan
    blank = replaced(rows, "vector", [row.tobytes() for row in matrix])

    def changed(groups):
        if groups["card"]["status"] == "fresh":
            change(groups)

    found = compared(quiet, told(blank, changed))
    kept = found.features[NAMES.index("card_days_since_first_seen")]
    unknown = causes(found, "history has no more")
    assert kept.unexplained > 1_000 or unknown > 1_000
    assert kept.unexplained == 0 or unknown == 0


def test_values_of_another_version_are_checked_in_golds_history(lake):
    """Written again since, a profile explains only values that the version it names had; another value does not."""
    rows = decisions(lake)
    named = [json.loads(each)["acceptor"] for each in rows["groups"].to_pylist()]
    before = compared(lake)
    place = NAMES.index("merchant_risk_7d")
    matrix = logged.matrix(rows["vector"]).copy()
    last = max(each["as_of_day"] or 0 for each in named)
    old = np.array([each["status"] == "fresh" and each["as_of_day"] == last for each in named])
    old &= ~np.isnan(matrix[:, place])
    matrix[old, place] += 1
    after = compared(lake, replaced(rows, "vector", [row.tobytes() for row in matrix]))
    assert causes(before, "acceptor", "another profile version") > 0
    assert after.features[place].unexplained == old.sum() > 0


def test_a_payment_that_bronze_lost_is_unexplained_and_one_to_come_is_not(quiet):
    """Past a payment's place without it, Bronze has lost it; not there yet, it is only waited for."""
    rows = decisions(quiet).slice(0, 10)
    offsets = rows["payment_offset"].to_pylist()
    ids = ["other", *rows["transaction_id"].to_pylist()[1:]]
    lost = compared(quiet, replaced(rows, "transaction_id", ids))
    assert (lost.missing, lost.waiting, lost.compared, lost.unexplained) == (1, 0, 9, 1)
    waiting = compared(quiet, replaced(rows, "payment_offset", [10**9, *offsets[1:]]))
    assert (waiting.missing, waiting.waiting, waiting.compared, waiting.unexplained) == (0, 1, 9, 0)


def test_vectors_of_other_features_are_not_compared(quiet):
    """A decision of another schema hash is counted apart; a cut vector of ours is an error, never compared."""
    rows = decisions(quiet).slice(0, 5)
    other = replaced(rows, "schema_hash", ["ab" * 32, *rows["schema_hash"].to_pylist()[1:]])
    found = compared(quiet, other)
    assert (found.other_features, found.compared) == (1, 4)
    with pytest.raises(ContractError, match="a logged vector has 8 bytes"):
        compared(quiet, replaced(rows, "vector", [b"12345678"] * 5))


def test_a_payment_decided_twice_is_compared_twice(quiet):
    """The stream promises at least once: both records of a payment are judged, and neither moves the window."""
    rows = decisions(quiet)
    found = compared(quiet, pa.concat_tables([rows, rows.slice(100, 50)]))
    assert (found.compared, found.unexplained) == (rows.num_rows + 50, 0)


def test_vectors_are_read_as_they_stand(lake):
    """The matrix of a sliced, chunked column is that of reading each vector by itself."""
    column = decisions(lake)["vector"]
    sliced = pa.chunked_array([*column.slice(3, 40).chunks, *column.slice(500, 7).chunks])
    expected = np.array([np.frombuffer(each, "<f4") for each in sliced.to_pylist()])
    assert np.array_equal(logged.matrix(sliced), expected, equal_nan=True)
    assert logged.matrix(column.slice(0, 0)).shape == (0, len(NAMES))


def test_command_prints_a_table_and_writes_metrics(quiet, monkeypatch, tmp_path):
    """Exit code 0 and a metric a feature when everything is explained, 1 when a formula is wrong; days choose."""
    monkeypatch.setattr(landed.reading, "open_table", lambda table: quiet.tables[table])
    out, metrics = tmp_path / "found.json", tmp_path / "found.prom"
    done = CliRunner().invoke(commands.app, ["parity", "--json", str(out), "--metrics", str(metrics)])
    assert done.exit_code == 0, done.output
    assert "0 unexplained" in done.output
    found = json.loads(out.read_text())
    assert (found["unexplained"], found["decisions"]) == (0, quiet.decisions)
    families = text_string_to_metric_families(metrics.read_text())
    samples = {(each.name, each.labels.get("feature")): each.value for family in families for each in family.samples}
    assert samples["fraud_parity_equal_share", "tx_count_5min"] == 1
    assert {feature for name, feature in samples if name == "fraud_parity_unexplained"} == set(NAMES)
    first = from_us(quiet.start_us + features.DAY_US).date().isoformat()
    CliRunner().invoke(commands.app, ["parity", "--from", first, "--to", first, "--json", str(out)])
    assert 0 < json.loads(out.read_text())["decisions"] < quiet.decisions
    monkeypatch.setattr(features, "HIGH_RISK_MCC", frozenset({"5411"}))
    assert CliRunner().invoke(commands.app, ["parity"]).exit_code == 1
    with pytest.raises(InputError, match=r"no decision on a payment of 2020-01-01"):
        parity.run(date(2020, 1, 1), date(2020, 1, 1), lambda *_: None)


def test_bronze_is_pinned_last(monkeypatch):
    """Decisions are read before the payments they are about, so that these have landed."""
    opened = []
    monkeypatch.setattr(landed.reading, "open_table", opened.append)
    assert list(landed.pin()) == opened
    assert (opened[0], opened[-1]) == (BRONZE_DECISIONS, BRONZE_TRANSACTIONS)


def record_of(made, number):
    """The record of one decision as `serving.records.find` finds it."""
    table = made.tables[BRONZE_DECISIONS]
    rows = decisions(made).slice(number, 1)
    return recorded.find(table, rows["transaction_id"][0].as_py())[0]


def test_one_decision_is_made_again_from_the_lake(lake):
    """For single payments the same differences with the same causes as for all of them, and none where none is."""
    groups = [json.loads(each) for each in decisions(lake)["groups"].to_pylist()]
    away = next(n for n, each in enumerate(groups) if each["window"]["status"] == "unreachable")
    found = against_lake.compare(lake.tables, record_of(lake, away))
    assert not found.unexplained
    assert {each.cause for each in found.differences} <= {
        "card: the online store did not answer",
        "acceptor: the online store did not answer",
        "window: the online store did not answer",
    }
    assert any(line.startswith("from the lake: tx_count_5min was missing, is ") for line in found.lines)
    assert found.summary["differences"][0]["logged"] is None
    whole = against_lake.compare(lake.tables, record_of(lake, 1_000))
    assert whole.lines == ["from the lake: every feature is equal to the bit"]


def test_one_rebuilt_window_names_its_outage(lake):
    """What a loss of Redis left of a window is made again from the log alone, and the outage is named."""
    rows = decisions(lake)
    found = compare(lake.tables, rows, [])
    name = found.examples[0][0]
    number = rows["transaction_id"].to_pylist().index(name)
    assert any(
        "made again from 25 hours" in line for line in against_lake.compare(lake.tables, record_of(lake, number)).lines
    )


def test_one_decision_with_a_bug_is_unexplained(quiet, monkeypatch):
    """A wrong formula shows for a single payment too; other features and a lost payment are told in words."""
    record = record_of(quiet, 700)
    assert against_lake.compare(quiet.tables, record | {"schema_hash": "ab" * 32}).unexplained
    gone = against_lake.compare(quiet.tables, record | {"transaction_id": "other"})
    assert (gone.unexplained, "not in Bronze, which is past its place" in gone.lines[0]) == (True, True)
    monkeypatch.setattr(features, "SATURDAY", 0)
    monkeypatch.setattr(features, "NIGHT_ENDS", 24)
    found = against_lake.compare(quiet.tables, record)
    assert found.unexplained
    assert {each.feature for each in found.differences} <= {"is_weekend", "is_night"}
    assert found.lines[0].endswith("; unexplained")
