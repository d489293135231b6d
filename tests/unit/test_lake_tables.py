"""Names and places of tables, and the seeds and columns that Python and SQL must share."""

import csv

import pytest
import yaml

from currencies import EXPONENT
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, CARD_PRESENT, MCC_GROUPS
from lake import tables
from settings import PROJECT_DIR
from streaming.columns import bronze_schema
from streaming.places import TABLES

DBT = PROJECT_DIR / "dbt_project"


def columns(file: str, model: str) -> list[str]:
    described = yaml.safe_load((DBT / "models" / file).read_text())["models"]
    return [column["name"] for entry in described if entry["name"] == model for column in entry["columns"]]


def test_currencies_are_those_of_iso_4217_and_its_withdrawn_codes() -> None:
    """The seed that SQL converts by has the exponents that Python converts by."""
    with (DBT / "seeds" / "currencies.csv").open(newline="") as lines:
        seed = {row["code"]: int(row["exponent"]) for row in csv.DictReader(lines)}
    assert seed == EXPONENT


def test_merchant_categories_are_grouped_alike() -> None:
    """The seed by which SQL groups merchant categories has the ranges of the feature mcc_group."""
    with (DBT / "seeds" / "mcc_groups.csv").open(newline="") as lines:
        firsts = [row["first_code"] for row in csv.DictReader(lines)]
    assert all(len(code) == 4 for code in firsts)
    assert tuple(map(int, firsts)) == (0, *MCC_GROUPS)


def test_every_rated_currency_exists() -> None:
    """A rate for a code that ISO 4217 does not know would never be used."""
    with (DBT / "seeds" / "exchange_rates.csv").open(newline="") as lines:
        rated = {row["currency"] for row in csv.DictReader(lines)}
    assert rated <= set(EXPONENT)


def test_profiles_have_the_columns_that_features_read() -> None:
    """Gold's columns are named and ordered as features.py lists them."""
    card = columns("marts/features/features.yml", "card_features_daily")
    acceptor = columns("marts/features/features.yml", "merchant_risk_daily")
    assert tuple(card[2 : 2 + len(CARD_COLUMNS)]) == CARD_COLUMNS
    assert tuple(acceptor[2 : 2 + len(ACCEPTOR_COLUMNS)]) == ACCEPTOR_COLUMNS


def test_card_presence_follows_the_same_entry_modes() -> None:
    """Silver's card_present and the feature is_card_present take the same words for the same thing."""
    sql = (DBT / "models" / "staging" / "transactions.sql").read_text()
    for value, wanted in (("true", 1.0), ("false", 0.0)):
        listed = next(
            line
            for line in sql.splitlines()
            if line.strip().startswith("when priced.entry_mode in") and line.rstrip().endswith(f"then {value}")
        )
        words = {word.strip(" '") for word in listed.split("(")[1].split(")")[0].split(",")}
        assert words == {mode for mode, present in CARD_PRESENT.items() if present == wanted}


def test_every_model_and_column_is_described() -> None:
    """An analyst finds no model, seed, source or column without words."""
    bare = []
    for path in [*(DBT / "models").rglob("*.yml"), *(DBT / "seeds").rglob("*.yml")]:
        content = yaml.safe_load(path.read_text())
        entries = [*content.get("models", []), *content.get("seeds", [])]
        entries += [table for source in content.get("sources", []) for table in source["tables"]]
        for entry in entries:
            bare += [entry["name"]] if not entry.get("description") else []
            bare += [f"{entry['name']}.{c['name']}" for c in entry.get("columns", []) if not c.get("description")]
    described = {
        entry["name"]
        for path in (DBT / "models").rglob("*.yml")
        for entry in yaml.safe_load(path.read_text()).get("models", [])
    }
    assert not bare
    assert described == {path.stem for path in (DBT / "models").rglob("*.sql")}


def test_bronze_decisions_is_described_as_it_is() -> None:
    """The source that an analyst reads about has the columns that the stream writes, no more and no fewer."""
    (source,) = yaml.safe_load((DBT / "models" / "sources.yml").read_text())["sources"]
    described = {table["name"]: [column["name"] for column in table["columns"]] for table in source["tables"]}
    assert set(described) == set(TABLES)
    assert sorted(described["decisions"]) == sorted(bronze_schema("decisions").names)


def test_a_prefix_sets_a_copy_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's schemas have names and folders of their own, below the folders that the engine's key may write."""
    monkeypatch.delenv("DBT_SCHEMA_PREFIX", raising=False)
    assert tables.CARD_FEATURES.path == f"{tables.root()}/gold/card_features_daily"
    monkeypatch.setenv("DBT_SCHEMA_PREFIX", "mine_")
    assert tables.CARD_FEATURES.sql_name == "mine_gold.card_features_daily"
    assert tables.CARD_FEATURES.path == f"{tables.root()}/gold/_scratch/mine_gold/card_features_daily"
