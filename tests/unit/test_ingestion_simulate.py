"""The simulated world: the same seed gives the same payments, frauds in their proportions, labels later."""

import time
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from contracts import schemas, wire
from contracts.validation import check_label, check_transaction
from errors import CARD_LIKE, InputError, RejectedError
from ingestion import delays
from ingestion.dlq import letters
from ingestion.simulator import attack, bad_records, days, pending, verdicts, world
from ingestion.simulator.frauds import PATTERNS
from ingestion.simulator.history import Plan
from ingestion.simulator.live import Present
from ingestion.simulator.payments import DAY_US, NAMES

KEY = bytes(range(32))
TODAY = time.time_ns() // 1000 // DAY_US
FIRST = TODAY - 42
RATE = 0.05


@pytest.fixture(scope="module")
def made():
    return world.make(7, 800, KEY)


@pytest.fixture(scope="module")
def drawn(made):
    return [days.draw(made, day, RATE) for day in range(FIRST, TODAY - 2)]


@pytest.fixture(scope="module")
def payments(drawn):
    return [record for day in drawn for record in day.records]


def test_the_same_seed_gives_the_same_day(made):
    """A day drawn in another process from the same seed and size is equal to the byte; another seed's is not."""
    again = world.make(7, 800, KEY)
    assert days.draw(again, FIRST, RATE) == days.draw(made, FIRST, RATE)
    assert days.draw(world.make(8, 800, KEY), FIRST, RATE).records != days.draw(made, FIRST, RATE).records


def test_every_payment_is_valid(payments):
    """What the simulator means to be good passes the one validation and fits the schema."""
    now_us = time.time_ns() // 1000
    for record in payments:
        check_transaction(record, now_us)
    assert tuple(payments[0]) == NAMES == tuple(schemas.defaults("transaction"))
    assert len({record["transaction_id"] for record in payments}) == len(payments)


def test_no_id_can_be_taken_for_a_card_number(payments):
    """No text of a simulated payment but its hashes has as many digits in a row as a card number."""
    texts = {value for record in payments for value in record.values() if isinstance(value, str) and len(value) < 64}
    assert not [text for text in texts if CARD_LIKE.search(text)]


def test_frauds_have_their_share_and_patterns(drawn, payments):
    """Frauds are the asked share of payments, and their patterns have the promised shares."""
    patterns = Counter(truth.pattern for day in drawn for truth in day.truth)
    total = patterns.total()
    assert abs(total / len(payments) / RATE - 1) < 0.12
    for name, pattern in PATTERNS.items():
        assert abs(patterns[name] / total - pattern.share) < 0.07, patterns
    assert sum(pattern.share for pattern in PATTERNS.values()) == pytest.approx(1.0)


def test_the_holder_keeps_paying(drawn, payments):
    """Nearly every card that was robbed goes on with genuine payments afterwards."""
    fraud_ids = {truth.transaction_id for day in drawn for truth in day.truth}
    robbed, later = {}, defaultdict(int)
    for record in payments:
        if record["transaction_id"] in fraud_ids:
            robbed.setdefault(record["card_id"], record["event_time"])
        elif record["event_time"] > robbed.get(record["card_id"], 2**62):
            later[record["card_id"]] += 1
    assert len(robbed) > 200
    assert sum(later[card] > 0 for card in robbed) / len(robbed) > 0.9


def test_patterns_look_like_their_names(made, drawn):
    """Geo jumps are far and at places, bursts come within minutes, high amounts are near or online, tests are quick."""
    homes = {
        card_id: np.array(world.CITIES[city][3:5], dtype=float)
        for card_id, city in zip(made.cards.card_id, made.cards.city, strict=True)
    }
    episodes = defaultdict(list)
    for day in drawn:
        by_id = {record["transaction_id"]: record for record in day.records}
        for truth in day.truth:
            episodes[truth.pattern, truth.episode].append(by_id[truth.transaction_id])
    gaps = defaultdict(list)
    for (pattern, _), records in episodes.items():
        assert len({record["card_id"] for record in records}) == 1
        assert PATTERNS[pattern].fewest <= len(records) <= PATTERNS[pattern].most
        times = sorted(record["event_time"] for record in records)
        gaps[pattern] += [(b - a) / 60e6 for a, b in pairwise(times)]
        if pattern == "geo_jump":
            assert all(record["latitude"] is not None for record in records)
    assert np.median(gaps["velocity_burst"]) < 3 < np.median(gaps["geo_jump"])
    assert max(gaps["card_testing"]) < 60
    dear = [r for (pattern, _), records in episodes.items() if pattern == "high_amount" for r in records]
    near = [np.array([r["latitude"], r["longitude"]]) - homes[r["card_id"]] for r in dear if r["latitude"] is not None]
    assert 0.3 < len(near) / len(dear) < 0.9
    assert np.abs(near).max() < 0.6


def test_fraud_clusters_at_some_merchants_but_is_not_told_by_them(drawn, payments):
    """A tenth of the merchants see half of the fraud, yet most payments there are genuine."""
    fraud_ids = {truth.transaction_id for day in drawn for truth in day.truth}
    seen, stolen = Counter(), Counter()
    for record in payments:
        seen[record["merchant_id"]] += 1
        stolen[record["merchant_id"]] += record["transaction_id"] in fraud_ids
    worst = [name for name, _ in stolen.most_common(len(seen) // 10)]
    assert sum(stolen[name] for name in worst) > 0.5 * stolen.total()
    assert sum(stolen[name] for name in worst) < 0.6 * sum(seen[name] for name in worst)


def test_genuine_habits_blur_the_patterns(drawn, payments):
    """High amounts, far places and bursts occur among genuine payments too: no single rule tells fraud."""
    fraud_ids = {truth.transaction_id for day in drawn for truth in day.truth}
    genuine = [record for record in payments if record["transaction_id"] not in fraud_ids]
    abroad = [r for r in genuine if r["merchant_country"] != r["card_country"] and r["latitude"] is not None]
    assert len(abroad) > len(genuine) / 500
    assert {r["message_type"] for r in genuine} >= {"authorization", "refund", "verification", "reversal"}
    assert {r["currency"] for r in genuine} >= {"USD", "EUR", "GBP", "JPY"}
    assert all((r["billing_currency"] is None) == (r["billing_amount_minor"] is None) for r in genuine)


def test_labels_come_later_and_are_valid(drawn):
    """Labels follow their payments, nearly all frauds get one, some genuine payments are cleared."""
    now_us = time.time_ns() // 1000 + 400 * DAY_US
    found, frauds = [], 0
    for number, day in enumerate(drawn):
        times = {record["transaction_id"]: record["event_time"] for record in day.records}
        labels = verdicts.labels(np.random.default_rng(number), day)
        for label in labels:
            check_label(label, now_us)
            assert label["known_at"] > times[label["transaction_id"]]
        found += labels
        frauds += len(day.truth)
    told = Counter(label["verdict"] for label in found)
    assert 0.93 < told["fraud"] / frauds < 1.02
    assert told["genuine"] > 5
    assert {label["origin"] for label in found} == set(verdicts.ORIGINS)
    late = verdicts.labels(np.random.default_rng(1), drawn[0], delays.parse("9d"))
    times = {record["transaction_id"]: record["event_time"] for record in drawn[0].records}
    assert {label["known_at"] - times[label["transaction_id"]] for label in late} <= {9 * DAY_US, 18 * DAY_US}


def test_live_payments_are_of_the_same_cards_at_the_asked_rate(made, payments):
    """The present continues the cards of the past, at the asked rate, fraud included, times between the two looks."""
    start = time.time_ns() // 1000
    present = Present(made, Plan(RATE), 400, start)
    begin = present.now_us
    ticks = [present.until(begin + second * 1_000_000) for second in range(1, 61)]
    live = [record for tick in ticks for record in tick.records]
    assert {record["card_id"] for record in live} <= set(made.cards.card_id.tolist())
    assert {record["card_id"] for record in payments} <= set(made.cards.card_id.tolist())
    assert abs(len(live) / (400 * 60) - 1) < 0.05
    assert abs(sum(len(tick.truth) for tick in ticks) / len(live) / RATE - 1) < 0.35
    assert all(begin < record["event_time"] <= begin + 60_000_000 for record in live)
    assert len({record["transaction_id"] for record in live}) == len(live)
    assert not [record for record in live if CARD_LIKE.search(record["transaction_id"])]
    for record in live:
        check_transaction(record, start + 60_000_000)


def test_each_kind_of_bad_record_gets_its_letter(payments):
    """Each kind of bad bytes is refused under exactly the code that the simulator promises, or is no letter at all."""
    foreign = schemas.parse(bad_records.foreign())
    maker = bad_records.Maker(1, 2, foreign)
    known = {1: schemas.parsed("transaction")}

    def writer(identifier):
        if identifier not in known:
            raise RejectedError("unknown_schema_id", str(identifier))
        return known[identifier]

    for number, (name, kind) in enumerate(bad_records.KINDS.items()):
        for record in payments[number * 50 : number * 50 + 50]:
            value, code = kind.make(maker, record), None
            try:
                check_transaction(wire.decode(value, writer, "transaction")[1], time.time_ns() // 1000)
            except RejectedError as error:
                code = error.code
            assert code == kind.code, name


def test_pending_labels_wait_until_they_are_due(tmp_path, monkeypatch):
    """Labels kept for later come out once, when due, in their order; the same one put twice is one."""
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    labels = [{"transaction_id": f"t{n}", "known_at": n} for n in (30, 10, 20)]
    pending.put(labels)
    pending.put(labels[:1])
    assert [label["known_at"] for label in pending.take(20)] == [10, 20]
    assert pending.take(20) == []
    assert [label["known_at"] for label in pending.take(99)] == [30]


def test_a_hexdump_blots_out_what_may_be_a_card_number():
    """Bytes of a letter are shown as they are, but for digits that may be a card number."""
    shown = "\n".join(letters.hexdump(b"\x00abc 4111 1111 1111 1111 xyz"))
    assert "61 62 63" in shown
    assert "31 31 31" not in shown
    assert "4111" not in shown
    assert "** ** **" in shown
    assert letters.masked("pan 4111111111111111!") == "pan <digits>!"
    assert letters.masked("ab" * 32) == "ab" * 32


def test_an_attack_ends_now_and_follows_a_payment_of_its_holder(made):
    """Each theft has a card of its own, whose holder paid before it at home; the last payment is now."""
    now_us = TODAY * DAY_US
    drawn = attack.draw(made, now_us, 3)
    found = attack.thefts(drawn)
    assert Counter(theft["pattern"] for theft in found) == dict.fromkeys(PATTERNS, 3)
    stolen = {payment["transaction_id"] for theft in found for payment in theft["payments"]}
    before = {r["card_id"]: r["event_time"] for r in drawn.records if r["transaction_id"] not in stolen}
    assert len(before) == len(found) == len(drawn.records) - len(stolen)
    for theft in found:
        times = [payment["event_time"] for payment in theft["payments"]]
        assert times == sorted(times)
        assert times[-1] == now_us
        assert times[0] - before[theft["payments"][0]["card_id"]] == attack.BEFORE_US
    for record in drawn.records:
        check_transaction(record, now_us)


def test_an_attack_needs_cards_that_pay(made):
    """More thefts than lively cards are refused, with what to change."""
    with pytest.raises(InputError, match="--times"):
        attack.draw(made, TODAY * DAY_US, 500)
