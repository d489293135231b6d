"""The contracts between the phases are whole, and a breach is told with the contract's name."""

import pytest
import yaml

from contracts import phases
from contracts.topics import DECISIONS, LABELS, TRANSACTIONS
from errors import ContractError
from lake import tables
from settings import PROJECT_DIR

DBT = PROJECT_DIR / "dbt_project"


def test_every_topic_and_mart_has_a_contract():
    """Each topic that the driver lands, each Bronze table and each mart says whose it is and what it promises."""
    topics = {TRANSACTIONS.name, LABELS.name, DECISIONS.name}
    landed = (tables.BRONZE_TRANSACTIONS, tables.BRONZE_LABELS, tables.BRONZE_DECISIONS)
    kept = {str(table) for table in (*landed, tables.TRANSACTIONS, tables.DECISIONS, *tables.GOLD)}
    assert phases.promises().keys() == topics | kept
    for name, promise in phases.promises().items():
        on_kafka = name in topics
        assert (promise.refused_share is not None) == on_kafka
        assert (promise.rows_a_day is not None and promise.breach is not None) != on_kafka


def test_every_table_is_held_to_its_contract():
    """Each table is tested by dbt under the contract's own name."""
    asked = set()
    for path in (DBT / "models").rglob("*.yml"):
        content = yaml.safe_load(path.read_text())
        entries = [*content.get("models", []), *(t for s in content.get("sources", []) for t in s["tables"])]
        for entry in entries:
            asked |= {
                test["keeps_contract"]["arguments"]["contract"]
                for test in entry.get("data_tests", [])
                if "keeps_contract" in test
            }
    assert asked == {name for name, promise in phases.promises().items() if promise.rows_a_day}


@pytest.mark.parametrize(
    ("refused", "records", "told"), [(10, 100, False), (11, 100, True), (50, 99, False), (0, 1000, False)]
)
def test_too_many_refusals_break_the_contract(refused, records, told):
    """More than the promised share of a batch is told by the contract's name; of few records a share says nothing."""
    said = phases.refused_too_many("transactions.raw", refused, records)
    assert bool(said) == told
    assert not told or said.startswith("contract transactions.raw is broken")


def test_a_topic_without_a_contract_promises_nothing():
    """Nothing is said of a topic that has none."""
    assert not phases.refused_too_many("fraud-alerts", 100, 100)


def test_a_renamed_column_is_refused_by_the_contracts_name():
    """Lost and unknown at once is a rename; one of them alone is an older or a newer contract."""
    wanted = {"amount_minor", "currency"}
    with pytest.raises(ContractError, match=r"contract bronze\.transactions: column amount_minor .* amount_cents"):
        phases.check_columns("bronze.transactions", {"amount_cents", "currency"}, wanted)
    phases.check_columns("bronze.transactions", {"currency"}, wanted)
    phases.check_columns("bronze.transactions", {"amount_minor", "currency", "old"}, wanted)
