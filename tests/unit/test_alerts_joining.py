"""Which alert a payment joins, whatever the batches."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from serving.desk.sink.joining import SPAN, Case, Suspect, join

START = datetime(2026, 11, 1, tzinfo=UTC)
payments = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 100 * 3_600)), max_size=30)


def suspects(drawn):
    """Return payments of two cards at drawn seconds."""
    return [Suspect(f"0:{n}", card, START + timedelta(seconds=s)) for n, (card, s) in enumerate(drawn)]


@given(payments, st.integers(1, 5))
def test_batches_make_no_difference(drawn, size):
    """One batch or many: the same cases with the same payments."""
    whole = join([], suspects(drawn))
    known: list[Case] = []
    for start in range(0, len(drawn), size):
        for case in join(known, suspects(drawn)[start : start + size]):
            if not any(case is other for other in known):
                known.append(case)
    assert {(c.card_id, c.opened_at, tuple(c.joined)) for c in known} == {
        (c.card_id, c.opened_at, tuple(c.joined)) for c in whole
    }


@given(payments)
def test_each_payment_is_in_one_case_of_its_card_near_its_beginning(drawn):
    """Every payment is in exactly one case, of its own card, opened less than 24 hours from it."""
    arrived = suspects(drawn)
    cases = join([], arrived)
    joined = [payment.decision_id for case in cases for payment in case.joined]
    assert sorted(joined) == sorted(payment.decision_id for payment in arrived)
    for case in cases:
        assert case.joined[0].event_time == case.opened_at
        for payment in case.joined:
            assert payment.card_id == case.card_id
            assert abs(payment.event_time - case.opened_at) < SPAN


def test_the_newest_of_two_near_alerts_is_joined():
    """Between two alerts of its card that are both near, a payment joins the newer one."""
    older, newer = Case("a", START, 1), Case("a", START + timedelta(hours=25), 2)
    touched = join([newer, older], [Suspect("0:1", "a", START + timedelta(hours=10))])
    assert [case.alert_id for case in touched] == [2]
