"""Each rule of Silver and Gold has a dbt test that a planted fault makes fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import dbt_copy

CONFLICT = (
    "transaction_id = 'p1' and payment_offset = "
    "(select max(payment_offset) from {silver}.decisions where transaction_id = 'p1')"
)
"""A decision on an arrival that Silver set aside: no outcome rests on it, so faults planted there show in one test."""
FAULTS = {
    "payment_is_unique": "insert into {silver}.transactions select * from {silver}.transactions "
    "where transaction_id = 'p1'",
    "payment_is_complete": "update {silver}.transactions set card_id = null where transaction_id = 'p2'",
    "payment_is_in_range": "update {silver}.transactions set amount_minor = -5 where transaction_id = 'p3'",
    "currency_is_known": "update {silver}.transactions set currency = 'XXX' where transaction_id = 'p4'",
    "message_type_is_known": "update {silver}.transactions set message_type = 'gift' where transaction_id = 'p5'",
    "every_bronze_row_is_accounted_for": "delete from {silver}.transactions where transaction_id = 'p6'",
    "set_aside_payments_have_a_first": "update {silver}.transaction_repeats set transaction_id = 'nobody'",
    "conflict_is_counted_once": "insert into {silver}.transaction_conflicts "
    "select * from {silver}.transaction_conflicts",
    "label_event_is_unique": "insert into {silver}.label_events select * from {silver}.label_events",
    "verdict_is_known": "update {silver}.label_events set verdict = 'maybe' where transaction_id = "
    "(select min(transaction_id) from {silver}.label_events)",
    "labels_belong_to_payments": "update {silver}.label_events set transaction_id = 'nobody' where transaction_id = "
    "(select max(transaction_id) from {silver}.label_events)",
    "labels_come_after_their_payments": "update {silver}.label_events "
    "set known_at = timestamp '2023-01-01 00:00:00 UTC' where verdict = 'fraud'",
    "rate_is_unique": "insert into {silver}.exchange_rates select * from {silver}.exchange_rates",
    "profiled_card_has_paid": "update {gold}.card_features_daily set card_id = 'nobody' where card_id = "
    "(select min(card_id) from {gold}.card_features_daily)",
    "card_profile_is_unique": "insert into {gold}.card_features_daily select * from {gold}.card_features_daily "
    "where as_of_day = date '2024-01-20'",
    "card_profile_is_in_range": "update {gold}.card_features_daily set card_night_share_30d = 2 "
    "where as_of_day = date '2024-01-21'",
    "card_profiles_know_only_the_past": "update {gold}.card_features_daily "
    "set card_tx_count_1d = card_tx_count_1d + 1 "
    "where as_of_day = (select max(as_of_day) from {gold}.card_features_daily)",
    "card_profiles_are_not_all_missing": "update {gold}.card_features_daily set card_std_amount_30d = null",
    "profiles_are_published_on_time": "update {gold}.card_features_daily "
    "set available_at = available_at - interval '1' day where as_of_day = date '2024-01-22'",
    "acceptor_profile_is_in_range": "update {gold}.merchant_risk_daily set merchant_risk_1d = 1.5 "
    "where as_of_day = date '2024-01-21'",
    "merchant_risk_waits_for_labels": "update {gold}.merchant_risk_daily set merchant_risk_30d = 0.9 "
    "where as_of_day = (select max(as_of_day) from {gold}.merchant_risk_daily)",
    "acceptor_profiles_are_not_all_missing": "update {gold}.merchant_risk_daily set merchant_risk_7d = null",
    "compromised_cards_are_counted": "update {gold}.card_risk_daily set known_frauds_7d = 99 "
    "where event_day = date '2024-01-21'",
    "metrics_add_up_to_silver": "update {gold}.fraud_metrics_daily set payments = payments + 1 "
    "where event_day = date '2024-01-21'",
    "metrics_day_is_in_range": "update {gold}.fraud_metrics_daily set fraud_share = -1 "
    "where event_day = date '2024-01-22'",
    "mcc_group_starts_once": "insert into {silver}.mcc_groups select * from {silver}.mcc_groups where name = 'retail'",
    "payment_is_decided_once": "insert into {silver}.decisions select decisions.* from {silver}.decisions "
    f"cross join (values 1, 2) where {CONFLICT}",
    "every_decision_is_accounted_for": "delete from {silver}.decisions where transaction_id = 'p0' and payment_offset "
    "= (select max(payment_offset) from {silver}.decisions where transaction_id = 'p0')",
    "decision_is_known": "update {silver}.decisions set decision = 'maybe' where " + CONFLICT,
    "decider_is_known": "update {silver}.decisions set decided_by = 'nobody' where " + CONFLICT,
    "decision_is_in_range": "update {silver}.decisions set score = 2 where " + CONFLICT,
    "decision_is_complete": "update {silver}.decisions set card_status = null where " + CONFLICT,
    "decisions_belong_to_payments": "update {silver}.decisions set payment_offset = 999999 where " + CONFLICT,
    "outcomes_are_not_all_missing": "update {gold}.decision_outcomes_daily set approval_rate = null",
    "outcomes_add_up_to_decisions": "update {gold}.decision_outcomes_daily set amount = amount + 0.01 "
    "where event_day = date '2024-01-20'",
    "outcomes_hold_together": "update {gold}.decision_outcomes_daily set frauds_missed = frauds_missed + 1 "
    "where event_day = date '2024-01-21'",
    "outcome_is_in_range": "update {gold}.decision_outcomes_daily set detection_seconds = -1 "
    "where event_day = date '2024-01-22'",
    "outcome_is_unique": "update {gold}.decision_outcomes_daily set country = 'unknown', channel = 'unknown', "
    "mcc_group = 'unknown', card_age = 'unknown', amount_band = 'unknown' where event_day = date '2024-01-23'",
    "channel_is_known": "update {gold}.decision_outcomes_daily set channel = 'fax' where event_day = date '2024-01-24'",
    "outcome_mcc_group_is_known": "update {gold}.decision_outcomes_daily set mcc_group = '5411' "
    "where event_day = date '2024-01-25'",
    "card_age_is_known": "update {gold}.decision_outcomes_daily set card_age = 'ancient' "
    "where event_day = date '2024-01-26'",
    "amount_band_is_known": "update {gold}.decision_outcomes_daily set amount_band = 'dear' "
    "where event_day = date '2024-01-27'",
    "money_agrees_from_bronze_to_silver": "update {silver}.transactions set amount_minor = amount_minor + 1 "
    "where transaction_id = 'p7'",
    "money_agrees_from_silver_to_gold": "update {gold}.fraud_metrics_daily set amount = amount + 0.01 "
    "where event_day = date '2024-01-23'",
    "cards_begin_with_their_first_payment": "update {silver}.cards set first_day = first_day + interval '1' day "
    "where card_id = (select max(card_id) from {silver}.cards)",
    "card_profiles_hold_together": "update {gold}.card_features_daily set card_tx_count_1d = card_tx_count_30d + 1 "
    "where as_of_day = date '2024-01-25'",
    "acceptor_profiles_hold_together": "update {gold}.merchant_risk_daily "
    "set merchant_tx_count_1d = merchant_tx_count_30d + 1 where as_of_day = date '2024-01-25'",
    "metrics_hold_together": "update {gold}.fraud_metrics_daily set attempts = payments + 1 "
    "where event_day = date '2024-01-24'",
    "contract_gold_card_risk_daily": "delete from {gold}.card_risk_daily "
    "where event_day = (select max(event_day) from {gold}.card_risk_daily)",
    "card_states_follow_each_other": "update {gold}.card_risk_history set dbt_valid_to = dbt_valid_from "
    "where card_id = (select max(card_id) from {gold}.card_risk_history)",
    "acceptor_state_is_unique": "insert into {gold}.merchant_risk_history select * from {gold}.merchant_risk_history",
    "outcome_is_complete": "update {gold}.decision_outcomes_daily set row_hash = null "
    "where event_day = date '2024-01-28'",
}
"""dbt test to the statement that breaks its rule; planted together, since each test looks at its own rule."""
WARNS = {"labels_belong_to_payments", "labels_come_after_their_payments", "decisions_belong_to_payments"}
"""What only the senders of labels can cause, or what may still arrive, is a warning: it must not stop the build."""


@pytest.fixture(scope="module")
def copy(stack: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbt_copy.Copy]:
    """A private copy of the schemas, small, with a repeat and a conflict."""
    made = dbt_copy.Copy("faults_test", Path(tmp_path_factory.mktemp("dbt")))
    try:
        known = dbt_copy.payments(500, 50, seed=11)
        arriving = [*known, known[0], {**known[1], "amount_minor": 77}]
        decided = dbt_copy.decisions(arriving, made.transactions.places(len(arriving)), 1, seed=13)
        made.arrive(arriving, dbt_copy.labels(known, 0.2, seed=12), decided)
        made.register()
        made.dbt("build", "--full-refresh")
        yield made
    finally:
        made.drop()


def test_each_planted_fault_fails_its_test(copy: dbt_copy.Copy) -> None:
    """All tests pass on a fresh build; with one fault planted for each rule, the test of each rule fails."""
    sound = copy.results()
    assert FAULTS.keys() <= sound.keys()
    assert {sound[name] for name in FAULTS} == {"pass"}
    for statement in FAULTS.values():
        copy.sql(statement)
    copy.dbt("test", "--exclude-resource-type", "unit_test", check=False)
    found = copy.results()
    wanted = {name: "warn" if name in WARNS else "fail" for name in FAULTS}
    assert {name: found[name] for name in FAULTS} == wanted
