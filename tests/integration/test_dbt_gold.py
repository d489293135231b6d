"""Silver and Gold as dbt makes them on the real Trino, against the same numbers worked out by hand."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features import ACCEPTOR_COLUMNS, CARD_COLUMNS
from lake import tables
from tests.integration import dbt_copy, outcomes_by_hand
from tests.integration.profiles_by_hand import Ledger

RISK = ("payments", "amount", "known_frauds_7d", "known_frauds_30d", "unreported_amount_30d", "amount_at_risk")
DAYS = 100
LATE = 25


@pytest.fixture(scope="module")
def copy(stack: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbt_copy.Copy]:
    """A private copy of the schemas with one first batch, built once."""
    made = dbt_copy.Copy("gold_test", Path(tmp_path_factory.mktemp("dbt")))
    try:
        first = dbt_copy.payments(1500, DAYS, seed=1)
        places = made.transactions.places(len(first) + 120)
        decided = dbt_copy.decisions(first, places[: len(first)], 0.8, seed=20)
        # Stolen cards on days that are mature: episodes stopped late, alerts of both kinds.
        burst = [row | {"mcc": None} for row in dbt_copy.payments(120, 2, seed=23, cards=3, name="burst")]
        thefts = dbt_copy.decisions(burst, places[len(first) :], 1, seed=24)
        known = dbt_copy.labels(first, 0.15, seed=2) + dbt_copy.labels(burst, 0.6, seed=25)
        made.arrive(first + burst, known, decided[::2] + thefts)
        # The other order, too: decisions on payments that reach Bronze after them.
        late = dbt_copy.payments(LATE, DAYS, seed=4, name="late")
        made.arrive([], [], dbt_copy.decisions(late, made.transactions.places(LATE), 0.9, seed=21))
        made.register()
        made.dbt("seed")
        made.dbt("run", "--full-refresh")
        yield made
    finally:
        made.drop()


def same(found: Any, wanted: float | None) -> bool:
    """Amounts are summed in ten-thousandths of the currency: that is the one difference allowed."""
    if wanted is None or found is None:
        return found is None and wanted is None
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-4)


def check_against_hand(copy: dbt_copy.Copy, share: float, seed: int) -> None:
    """Compare which rows there are, and the values of a share of them."""
    ledger = Ledger(copy.rows(tables.TRANSACTIONS), copy.rows(tables.LABEL_EVENTS))
    draw = random.Random(seed)
    for table, entity, columns, entities, seen_days, by_hand in (
        (tables.CARD_FEATURES, "card_id", CARD_COLUMNS, ledger.cards, 31, ledger.card),
        (tables.MERCHANT_RISK, "acceptor_id", ACCEPTOR_COLUMNS, ledger.acceptors, 40, ledger.acceptor),
    ):
        rows = {(row[entity], row["as_of_day"]): row for row in copy.rows(table)}
        wanted = {(key, day) for key, mine in entities.items() for day in ledger.days(mine, seen_days)}
        assert rows.keys() == wanted
        for key in draw.sample(sorted(wanted), int(len(wanted) * share)):
            values = [rows[key][column] for column in columns]
            by = by_hand(*key)
            wrong = [(c, v, b) for c, v, b in zip(columns, values, by, strict=True) if not same(v, b)]
            assert not wrong, f"{table} {key}: {wrong}"
    risks = {(row["card_id"], row["event_day"]): row for row in copy.rows(tables.CARD_RISK)}
    assert risks.keys() == {(p["card_id"], p["event_day"]) for p in ledger.payments}
    for key in draw.sample(sorted(risks), int(len(risks) * share)):
        by = ledger.card_risk(*key)
        wrong = [(c, risks[key][c], b) for c, b in zip(RISK, by, strict=True) if not same(risks[key][c], b)]
        assert not wrong, f"card_risk_daily {key}: {wrong}"
    outcomes = outcomes_by_hand.Outcomes(ledger, copy.rows(tables.BRONZE_DECISIONS)).rows()
    found = {tuple(row[key] for key in outcomes_by_hand.KEYS): row for row in copy.rows(tables.DECISION_OUTCOMES)}
    assert found.keys() == outcomes.keys()
    measures = next(iter(outcomes.values()))
    assert not [name for name in measures if not any(row[name] for row in outcomes.values())]
    for key, by_name in outcomes.items():
        wrong = [(c, found[key][c], b) for c, b in by_name.items() if not same(found[key][c], b)]
        assert not wrong, f"decision_outcomes_daily {key}: {wrong}"


def said(copy: dbt_copy.Copy) -> dict[str, set[str]]:
    """Return what every Gold row says, by its hash."""
    return {str(table): {row["row_hash"] for row in copy.rows(table)} for table in tables.GOLD}


def test_profiles_equal_those_worked_out_by_hand(copy: dbt_copy.Copy) -> None:
    """A full build gives, for every kind of card, acceptor and day, the numbers that the definitions give."""
    check_against_hand(copy, share=0.3, seed=3)


def test_nothing_new_commits_nothing(copy: dbt_copy.Copy) -> None:
    """A run without new rows makes no Delta version, so time travel shows only real changes."""
    before = copy.versions()
    copy.dbt("run")
    assert copy.versions() == before


def test_late_rows_change_only_what_they_reach_and_equal_a_full_build(copy: dbt_copy.Copy) -> None:
    """Late payments, a card's earlier first payment, late and revised labels, repeats, conflicts, a new day, decisions
    before and after their payments, days that mature: the incremental run equals by hand and full build, and rewrites
    only rows that say something new.
    """
    first = dbt_copy.payments(1500, DAYS, seed=1)
    decided = dbt_copy.decisions(first, [(n % 4, n // 4) for n in range(len(first))], 0.8, seed=20)
    late = dbt_copy.payments(LATE, DAYS, seed=4, name="late")
    late += [
        {
            **dbt_copy.payments(1, 1, seed=5, name="first")[0],
            "card_id": first[3]["card_id"],
            "event_time": dbt_copy.START_US,
        }
    ]
    newer = [
        {**row, "event_time": row["event_time"] + DAYS * dbt_copy.DAY_US}
        for row in dbt_copy.payments(10, 2, seed=6, name="new")
    ]
    repeats = [first[0], first[1], late[0]]
    conflicts = [{**first[2], "amount_minor": 1}, {**late[1], "mcc": "4829"}]
    revised = [
        {
            "source": first[9]["source"],
            "transaction_id": first[9]["transaction_id"],
            "verdict": "fraud",
            "known_at": first[9]["event_time"] + dbt_copy.DAY_US,
            "origin": "chargeback",
        }
    ]
    before = {table: copy.rows(table) for table in (tables.CARD_FEATURES, tables.MERCHANT_RISK)}
    arriving = late + newer + repeats + conflicts
    more = dbt_copy.decisions(arriving, copy.transactions.places(len(arriving)), 0.5, seed=22)
    # Decisions on payments that were there, and again on some that were decided.
    again = [{**row, "decision": "block"} for row in decided[:10]]
    copy.arrive(arriving, [*dbt_copy.labels(first, 0.03, seed=7), *revised], decided[1::2] + more + again)
    copy.dbt("run")

    assert len(copy.rows(tables.TRANSACTION_REPEATS)) == len(repeats)
    assert len(copy.rows(tables.TRANSACTION_CONFLICTS)) == len(conflicts)
    check_against_hand(copy, share=0.3, seed=8)
    for table, old in before.items():
        now = {row["row_hash"]: row["updated_at"] for row in copy.rows(table)}
        kept = [row for row in old if row["row_hash"] in now]
        assert kept
        assert all(now[row["row_hash"]] == row["updated_at"] for row in kept)

    incremental = said(copy)
    copy.dbt("run", "--full-refresh")
    assert said(copy) == incremental


def test_a_lost_catalog_comes_back_from_the_bucket(copy: dbt_copy.Copy) -> None:
    """After the metastore is gone, `lake register` brings back every table and view, with the same counts."""
    names = ("{silver}.transactions", "{silver}.payments_labelled", "{silver}.labels", "{gold}.card_features_daily")
    counts = [copy.sql(f"select count(*) from {name}") for name in names]
    copy.forget()
    copy.register()
    assert [copy.sql(f"select count(*) from {name}") for name in names] == counts


def test_time_travel_shows_two_counts(copy: dbt_copy.Copy) -> None:
    """The audit query of the docs gives the count before and after a run that wrote."""
    table = '{silver}."transactions$history"'
    was = copy.sql(f"select max(version) from {table}")[0][0]
    copy.arrive(dbt_copy.payments(3, 5, seed=9, name="audit"), [])
    copy.dbt("run")
    then = copy.sql("select count(*) from {silver}.transactions for version as of " + str(was))[0][0]
    now = copy.sql("select count(*) from {silver}.transactions")[0][0]
    assert now == then + 3
