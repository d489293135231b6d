"""Decisions on Kafka are matched to their payments and turned into figures without flattery."""

import json
import math
import time

import pytest

from bench import stack
from bench.deciding import decisions, saturated, stream
from bench.deciding.decisions import Answer, Paid
from bench.load import payments
from bench.load.payments import Sample
from contracts.schemas import defaults
from contracts.validation import check_transaction
from errors import InputError, ServerError
from features import DAY_US

STAGES = json.dumps({"payments": 2, "decode": 20, "score": 80})


def answer(offset: int, at_ms: int, transaction_id: str | None = None, by: str = "model", stages: str = STAGES):
    """A decision on the payment at that offset of partition 1."""
    return Answer((1, offset), transaction_id or f"t{offset}", at_ms, by, held=False, degraded=False, stages=stages)


def paid(*times_ms: int) -> dict[decisions.Place, Paid]:
    """Payments at offsets 0, 1, 2 and so on of partition 1."""
    return {(1, offset): Paid(f"t{offset}", at_ms) for offset, at_ms in enumerate(times_ms)}


def test_a_payment_has_its_earliest_decision() -> None:
    """Decisions are at-least-once: a second one, before or after it in the topic, changes nothing."""
    found = decisions.first(paid(100), [answer(0, 108), answer(0, 105), answer(0, 130)])
    assert [each.at_ms for each in found.values()] == [105]


def test_decisions_of_other_payments_do_not_count() -> None:
    """Neither a payment outside the period nor another id at the same place is taken for the payment's decision."""
    found = decisions.first(paid(100, 110), [answer(7, 101), answer(0, 103, "somebody else's"), answer(1, 113)])
    assert list(found) == [(1, 1)]


def test_delays_are_split_by_when_the_payment_was_made() -> None:
    """Each run has the payments of its own period, however late their decisions came; one without has no delay."""
    made = paid(0, 10, 20, 30, 39)
    found = decisions.first(made, [answer(0, 5), answer(1, 990), answer(2, 23), answer(4, 40)])
    assert decisions.delays(made, found, 2) == [[5.0, 980.0], [3.0, 1.0]]
    assert decisions.delays(paid(7), {}, 2) == [[], []]


def test_a_percentile_of_nothing_is_missed() -> None:
    """A period without a decision gives NaN, which no target lets pass."""
    assert math.isnan(decisions.quantile([], 99))
    assert decisions.quantile([1.0, 2.0, 9.0], 50) == 2.0


def test_the_rate_leaves_out_the_first_fifth() -> None:
    """A slow beginning is not counted, nor what came in the very millisecond in which the counting began."""
    slow, fast = [0, 5_000], [6_000 + 10 * number for number in range(8)]
    assert decisions.rate(slow + fast) == pytest.approx(100)
    batches = [0] * 20 + [1_000] * 40 + [2_000] * 40
    assert decisions.rate(batches) == pytest.approx(40)
    assert math.isnan(decisions.rate([5] * 10))


def test_stages_cost_what_their_batches_say() -> None:
    """A batch's microseconds are spread over its payments, and large batches weigh by their size."""
    large = json.dumps({"payments": 6, "decode": 6, "score": 12, "record": 30})
    costs = decisions.stage_costs([STAGES] * 2 + [large] * 6)
    assert costs == pytest.approx({"decode": 26 / 8, "score": 92 / 8, "record": 30 / 8})


def test_shares_add_up_to_the_whole_time() -> None:
    """What the decisions do not tell is shown as the rest, so that nothing of the time is hidden."""
    figures = saturated.shares([10_000.0, 5_000.0], [{"decode": 10.0}, {"decode": 20.0}])
    assert [figure.runs for figure in figures] == [[10.0, 20.0], [90.0, 180.0]]
    assert [figure.note for figure in figures] == ["10% of the time", "90% of the time"]


def test_an_undecided_payment_misses_its_target() -> None:
    """One payment without a decision of thousands is shown and missed, whatever the percentiles say."""
    made = paid(*range(1_000))
    found = decisions.first(made, [answer(offset, offset + 2) for offset in range(999)])
    figures = {figure.name: figure for figure in stream._section("", stream.Followed(made, found), 2, 5, 30).figures}
    assert figures["p99"].verdict == "ok"
    assert figures["without a decision"].verdict == "missed"
    assert figures["without a decision"].note == "of 1,000; by model: 999; not approved: 0; degraded: 0"


@pytest.mark.parametrize("by", ["fallback", "model"])
def test_a_rate_without_the_model_is_refused(by: str) -> None:
    """Decisions that the model did not make, or that are fewer than the payments, give no rate."""
    made = [answer(offset, offset, by=by) for offset in range(3)]
    with pytest.raises(ServerError, match=r"of [34] payments 3 were decided"):
        saturated.check(made, 3 if by == "fallback" else 4)
    saturated.check([answer(0, 0), answer(0, 9)], 1)


def test_bronze_is_started_again_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that fails does not leave the stack without its driver."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(stack, "run", lambda *arguments: asked.append(arguments[1:]))
    with pytest.raises(ZeroDivisionError), stack.without("bronze"):
        raise ZeroDivisionError
    assert asked == [("stop", "bronze"), ("start", "bronze"), ("ready", "bronze")]


def sample(age_us: int) -> Sample:
    """A sample whose newest payment is so old."""
    newest_us = time.time_ns() // 1_000 - age_us
    payment = defaults("transaction") | {
        "source": "acquirer",
        "transaction_id": "1",
        "card_id": "0" * 64,
        "event_time": newest_us,
        "message_type": "authorization",
        "amount_minor": 1_250,
        "currency": "EUR",
    }
    return Sample([payment], newest_us)


def test_a_lake_of_the_past_is_refused() -> None:
    """What the stream would take for history is not measured as if it were undecided; the error says what to do."""
    assert payments.decided(sample(DAY_US))
    with pytest.raises(InputError, match="ingestion simulate"):
        payments.decided(sample(3 * DAY_US))


def test_a_backlog_is_valid_in_order_and_of_one_day() -> None:
    """Its payments keep the contract, rise in time to the sample's newest, and find that day's profiles."""
    found = sample(0)
    drawn = saturated.backlog(found, 200)
    times = [payment["event_time"] for payment in drawn]
    for payment in drawn:
        check_transaction(payment, found.newest_us)
    assert times == sorted(times)
    assert times[-1] == found.newest_us
    assert found.newest_us - times[0] <= saturated.SPAN_US
    assert {time_us // DAY_US for time_us in times} == {found.newest_us // DAY_US}
    assert len({payment["transaction_id"] for payment in drawn}) == 200
