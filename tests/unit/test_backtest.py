"""What rules would have done, counted by hand on small lakes: episodes, money, unknowns, the control share."""

import io
import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from errors import InputError
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, NAMES, SCHEMA_HASH
from lake import reading
from lake.point_in_time import RECORD
from lake.tables import BRONZE_DECISIONS, BRONZE_TRANSACTIONS, CARD_FEATURES, LABEL_EVENTS, MERCHANT_RISK, TRANSACTIONS
from ml.backtest import report, trial
from ml.backtest.episodes import APART_US, measure
from ml.backtest.trial import Request
from scoring.rules import RuleSet
from settings import PROJECT_DIR
from streaming.columns import bronze_schema
from tests import tiny_model

HOUR_US = 3_600_000_000
DAY = date(2026, 6, 1)
START = datetime(2026, 6, 1, tzinfo=UTC)
MOMENT = pa.timestamp("us", "UTC")


def paid(*rows):
    """Payments as (card, hours since the start, money, status, more)."""
    made = [
        {
            "card_id": card,
            "at_us": int(hours * HOUR_US),
            "money": float(money),
            "status": status,
            "in_force": False,
            "control": False,
        }
        | (more[0] if more else {})
        for card, hours, money, status, *more in rows
    ]
    return pl.DataFrame(made)


def effect(rows, stopped, days=1):
    frame = paid(*rows)
    return measure(frame, pl.Series([number in stopped for number in range(frame.height)]), days)


ROWS = (
    ("a", 1, 10, "fraud"),
    ("a", 2, 20, "fraud"),
    ("a", 20, 40, "fraud"),
    ("a", 21, 5, "genuine"),
    ("a", 60, 80, "fraud"),
    ("b", 3, 7, "genuine"),
    ("b", 4, 7, "genuine"),
    ("c", 5, 9, "open"),
)


def test_an_episode_counts_once_and_its_money_is_a_range():
    """Of three frauds within a day the second is stopped: one episode, 20 directly, 60 if the card had been closed."""
    found = effect(ROWS, {1}, days=2)
    assert found.episodes == {"fraud": 1, "genuine": 0, "unknown": 0}
    assert (found.money.directly, found.money.at_most) == (20, 60)
    assert (found.a_day, found.precision, found.false_per_fraud, found.hurt) == (0.5, 1.0, 0.0, 0)


def test_each_stopped_fraud_is_direct_and_a_day_later_is_another_episode():
    """Frauds that are stopped themselves count directly; a fraud 40 hours later is an episode of its own."""
    found = effect(ROWS, {0, 2, 4})
    assert found.episodes["fraud"] == 2
    assert (found.money.directly, found.money.at_most) == (10 + 40 + 80, 10 + 20 + 40 + 80)
    assert found.payments == {"fraud": 3, "genuine": 0, "open": 0, "blocked": 0}


def test_a_genuine_payment_stopped_before_the_fraud_saves_nothing():
    """Only a stopped fraud ends an episode: a false alarm before it leaves the fraud as it was."""
    found = effect([("a", 1, 5, "genuine"), ("a", 2, 100, "fraud")], {0})
    assert found.episodes == {"fraud": 0, "genuine": 1, "unknown": 0}
    assert (found.money.at_most, found.hurt) == (0, 1)


def test_good_customers_are_cards_and_alarms_are_episodes():
    """Two genuine payments of one card within a day: one false alarm, one card hurt; 0 precision without fraud."""
    found = effect(ROWS, {5, 6})
    assert (found.episodes["genuine"], found.hurt, found.precision, found.false_per_fraud) == (1, 1, 0.0, None)
    assert found.payments["genuine"] == 2


def test_what_nobody_knows_is_never_genuine():
    """An open or blocked payment makes no precision and hurts nobody; beside a genuine one the episode is unknown."""
    rows = [("a", 1, 5, "open"), ("b", 1, 5, "blocked"), ("c", 1, 5, "genuine"), ("c", 2, 5, "open")]
    found = effect(rows, {0, 1, 2, 3})
    assert found.episodes == {"fraud": 0, "genuine": 0, "unknown": 3}
    assert (found.precision, found.hurt) == (None, 1)
    assert found.payments == {"fraud": 0, "genuine": 1, "open": 2, "blocked": 1}


def test_new_is_what_the_decisions_in_force_left():
    """An episode in which something was stopped then is not new, though the rule stops another payment of it."""
    force = {"in_force": True}
    rows = [("a", 1, 10, "fraud", force), ("a", 2, 20, "fraud"), ("b", 1, 40, "fraud"), ("c", 1, 1, "genuine", force)]
    found = effect(rows, {1, 2, 3})
    assert found.episodes == {"fraud": 2, "genuine": 1, "unknown": 0}
    assert found.new_episodes == {"fraud": 1, "genuine": 0, "unknown": 0}
    assert (found.money.at_most, found.new_money.at_most) == (60, 40)


def test_the_control_share_tells_what_blocks_were():
    """Of four known control payments one was fraud, so of eight blocked ones about two were."""
    control = {"control": True, "in_force": True}
    rows = [("k", 1, 5, "fraud", control)] + [(f"g{n}", 1, 5, "genuine", control) for n in range(3)]
    rows += [(f"b{n}", 1, 5, "blocked", {"in_force": True}) for n in range(8)] + [("o", 1, 5, "open", control)]
    found = effect(rows, set(range(len(rows))))
    assert found.control == {"fraud": 1, "genuine": 3}
    assert found.blocked_frauds == 2
    assert effect(rows, {4, 5}).blocked_frauds is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(0, 200),
            st.integers(1, 9),
            st.sampled_from(["fraud", "genuine", "open"]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_measure_equals_a_plain_count(drawn):
    """Whatever the payments, episodes, their verdicts and the money are those of a loop over each card's payments."""
    if not drawn:
        return
    rows = [(card, hours, money, status, {"in_force": force}) for card, hours, money, status, force, _ in drawn]
    found = effect(rows, {number for number, each in enumerate(drawn) if each[-1]})
    counts, low, high = {"fraud": 0, "genuine": 0, "unknown": 0}, 0.0, 0.0
    for card in "abc":
        mine = [each for each in drawn if each[0] == card and (each[3] == "fraud" or each[4] or each[5])]
        mine.sort(key=lambda each: each[1])
        episodes = []
        for each in mine:
            if not episodes or (each[1] - episodes[-1][-1][1]) * HOUR_US > APART_US:
                episodes.append([])
            episodes[-1].append(each)
        for episode in episodes:
            stopped, began = [each[3] for each in episode if each[5]], False
            if not stopped:
                continue
            counts["fraud" if "fraud" in stopped else "unknown" if "open" in stopped else "genuine"] += 1
            for *_, money, status, _force, stop in episode:
                began |= stop and status == "fraud"
                low += money if stop and status == "fraud" else 0
                high += money if began and status == "fraud" else 0
    assert found.episodes == counts
    assert (found.money.directly, found.money.at_most) == (low, high)
    assert found.hurt == len({each[0] for each in drawn if each[5] and each[3] == "genuine"})


RULES = """
rules:
  - {name: burst, condition: tx_count_5min >= 3, action: review, priority: 20, owner: t, sentence: burst}
  - {name: large, condition: amount > 249.89, action: block, priority: 10, owner: t, sentence: large}
  - {name: trusted, condition: 'mcc == "5411"', action: approve, priority: 1, owner: t, sentence: trusted}
  - {name: look, condition: amount > 1, action: block, priority: 2, owner: t, sentence: look, shadow: true}
"""


class Lake:
    """A lake of decided payments, each of them as a test says."""

    def __init__(self, folder):
        self.folder, self.payments, self.decisions, self.labels = folder, [], [], []

    def pay(self, name, hours=1, amount=10.0, card="c", label=None, decision="approve", by="model", count=0, **more):
        """Add a payment, the decision on it (None: there was none) and its label."""
        moment = START + timedelta(hours=hours)
        record = dict.fromkeys(RECORD) | {
            "source": "s",
            "transaction_id": name,
            "event_time": moment,
            "card_id": card,
            "currency": "USD",
            "amount_minor": round(amount * 100),
            "message_type": "authorization",
            "mcc": more.get("mcc"),
        }
        self.payments.append(record | {"amount": amount})
        if label:
            self.labels.append(
                {
                    "source": "s",
                    "transaction_id": name,
                    "verdict": label,
                    "origin": "file",
                    "known_at": moment + timedelta(days=1),
                    "source_partition": 0,
                    "source_offset": 0,
                    "ingested_at": moment,
                }
            )
        if decision:
            row = dict.fromkeys(NAMES, 1.0) | {"amount": amount, "tx_count_5min": float(count)}
            values = np.array([row[each] for each in NAMES], np.float32)
            self.decisions.append(
                {
                    "source": "s",
                    "transaction_id": name,
                    "card_id": card,
                    "event_time": moment,
                    "decision": decision,
                    "decided_by": by,
                    "score": more.get("score"),
                    "decided_at": moment + timedelta(seconds=1),
                    "schema_hash": more.get("schema_hash", SCHEMA_HASH),
                    "vector": values.tobytes(),
                    "features": json.dumps(row),
                    "ingested_date": DAY,
                }
            )

    def write(self):
        """Write every table that a backtest reads."""
        more = {"is_attempt": True, "acceptor_id": None}
        day = [more | {"event_day": each["event_time"].date()} for each in self.payments]
        kinds = {
            "event_time": MOMENT,
            "event_day": pa.date32(),
            "is_attempt": pa.bool_(),
            "amount": pa.float64(),
            "amount_minor": pa.int64(),
            "billing_amount_minor": pa.int64(),
            "utc_offset_min": pa.int32(),
            "latitude": pa.float64(),
            "longitude": pa.float64(),
        }
        silver = pa.schema(
            [
                (name, kinds.get(name, pa.string()))
                for name in (*RECORD, "amount", "event_day", "is_attempt", "acceptor_id")
            ]
        )
        labels = pa.schema(
            [
                *((name, pa.string()) for name in ("source", "transaction_id", "verdict", "origin")),
                ("known_at", MOMENT),
                ("ingested_at", MOMENT),
                ("source_partition", pa.int32()),
                ("source_offset", pa.int64()),
            ]
        )
        landed = [
            {name: value for name, value in each.items() if name != "amount"}
            | {"source_partition": 0, "source_offset": number, "kafka_timestamp": each["event_time"]}
            | {"ingested_at": START, "ingested_date": DAY}
            for number, each in enumerate(self.payments)
        ]
        tables = {
            TRANSACTIONS: (
                pa.Table.from_pylist([a | b for a, b in zip(self.payments, day, strict=True)], silver),
                "event_day",
            ),
            LABEL_EVENTS: (pa.Table.from_pylist(self.labels, labels), None),
            BRONZE_TRANSACTIONS: (pa.Table.from_pylist(landed, bronze_schema("transactions")), "ingested_date"),
            BRONZE_DECISIONS: (pa.Table.from_pylist(self.decisions, bronze_schema("decisions")), "ingested_date"),
        }
        for table, entity, columns in (
            (CARD_FEATURES, "card_id", CARD_COLUMNS),
            (MERCHANT_RISK, "acceptor_id", ACCEPTOR_COLUMNS),
        ):
            schema = pa.schema(
                [
                    (entity, pa.string()),
                    ("as_of_day", pa.date32()),
                    ("profile_version", pa.int64()),
                    *((name, pa.float64()) for name in columns),
                ]
            )
            tables[table] = (schema.empty_table(), "as_of_day")
        for table, (rows, partition) in tables.items():
            write_deltalake(self.folder / str(table), rows, partition_by=[partition] if partition else None)


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "open_table", lambda table: DeltaTable(tmp_path / str(table)))
    monkeypatch.setattr(reading, "exists", lambda table: (tmp_path / str(table)).exists())
    return Lake(tmp_path)


def tried(lake, rules=RULES, days=1, **more):
    lake.write()
    request = Request(DAY, DAY + timedelta(days=days - 1), RuleSet.read(rules), **more)
    found = trial.run(request, lambda *_: None)
    return found, {each.name: each.effect for each in found.lines}


def test_rules_on_logged_features(lake):
    """Each rule stops what it matches, by the logged float64; the first one acts, shadow and approve stop nothing."""
    lake.pay("t1", amount=249.9, card="a", label="fraud")  # as float32 it is less than 249.9
    lake.pay("t2", hours=2, amount=300, card="b", label="genuine", mcc="5411")
    lake.pay("t3", hours=3, amount=5, card="c", label="fraud", count=4)
    lake.pay("t4", hours=4, amount=5, card="d")
    found, lines = tried(lake)
    assert list(lines) == ["trusted", "look", "large", "burst", "all together"]
    assert lines["large"].payments == {"fraud": 1, "genuine": 1, "open": 0, "blocked": 0}
    assert lines["burst"].money.directly == 5
    assert lines["all together"].payments == {"fraud": 2, "genuine": 0, "open": 0, "blocked": 0}
    assert lines["trusted"].hurt == 1
    assert (found.logged_share, found.frauds, found.unknown, found.payments) == (1.0, 2, 1, 4)


def test_statuses_are_those_of_now(lake):
    """A blocked payment stays unknown whatever is said of it, and so does a young one of which nothing is said."""
    lake.pay("t1", amount=300, card="a", decision="block", by="rule", label="genuine")
    lake.pay("t2", amount=300, card="b")
    lake.pay("t3", amount=300, card="c", by="control")
    _, lines = tried(lake)
    assert lines["large"].payments == {"fraud": 0, "genuine": 0, "open": 2, "blocked": 1}


def test_silence_for_the_maturity_days_is_presumed_genuine(lake):
    """90 days later without a report a payment is genuine, unless it was blocked; its control twin measures blocks."""
    lake.pay("t1", amount=300, card="a", decision="block", by="rule")
    lake.pay("t2", amount=300, card="b")
    lake.pay("t3", amount=300, card="c", by="control")
    lake.pay("t9", hours=24 * 91, decision=None)
    _, lines = tried(lake)
    assert lines["large"].payments == {"fraud": 0, "genuine": 2, "open": 0, "blocked": 1}
    assert lines["large"].control == {"fraud": 0, "genuine": 1}
    assert lines["large"].new_episodes == {"fraud": 0, "genuine": 1, "unknown": 0}  # a control payment was not new


def test_only_what_was_not_logged_is_worked_out_again(lake):
    """Without a decision, or with one of other features, a payment's features come from the lake; the share says so."""
    lake.pay("t1", amount=10, card="a", count=9)
    for number in range(4):
        lake.pay(f"u{number}", hours=1 + number / 100, amount=10, card="b", decision=None, label="fraud")
    lake.pay("v1", amount=300, card="d", decision="review", schema_hash="ab" * 32, label="fraud")
    found, lines = tried(lake)
    assert found.logged_share == 1 / 6
    assert lines["burst"].payments == {"fraud": 1, "genuine": 0, "open": 1, "blocked": 0}  # u3, and t1 as logged
    assert (lines["large"].episodes["fraud"], lines["large"].new_episodes["fraud"]) == (1, 0)


def test_the_first_decision_on_a_payment_counts(lake):
    """A payment decided again is one payment, with the features and the decision that came first."""
    lake.pay("t1", amount=300, card="a", decision="review", label="fraud")
    again = lake.decisions[0] | {"decision": "approve", "decided_at": START + timedelta(hours=9)}
    lake.decisions.insert(0, again)
    found, lines = tried(lake)
    assert found.payments == 1
    assert lines["large"].new_episodes["fraud"] == 0


def test_a_model_and_a_threshold(lake, monkeypatch):
    """A threshold alone uses logged scores and the champion where there is none; a version scores all of them again."""
    model = tiny_model.model()
    monkeypatch.setattr(trial, "_model", lambda _number: model)
    lake.pay("t1", score=0.4, card="a", label="fraud")
    lake.pay("t2", score=0.2, card="b", label="genuine")
    lake.pay("t3", by="fallback", card="d")
    found, lines = tried(lake, threshold=0.3)
    row = np.frombuffer(lake.decisions[2]["vector"], "<f4")[None, :]
    over = bool(model.score(row)[0] >= 0.3)
    assert lines["model at 0.3"].payments == {"fraud": 1, "genuine": 0, "open": int(over), "blocked": 0}
    assert found.scored_by.startswith("the models in force")
    request = Request(DAY, DAY, model=1)
    again = trial.run(request, lambda *_: None)
    stops = model.score(np.array([np.frombuffer(each["vector"], "<f4") for each in lake.decisions]))
    assert sum(again.lines[0].effect.payments.values()) == (stops >= model.manifest.threshold).sum()
    assert again.scored_by == "version 1"


def test_report_and_json_say_the_same(lake):
    """The table has every rule, the range of money and what is unknown; JSON takes it all."""
    lake.pay("t1", amount=300, card="a", label="fraud")
    lake.pay("t2", hours=2, amount=50, card="a", label="fraud")
    lake.pay("t3", amount=300, card="b")
    found, _ = tried(lake)
    console = Console(width=120, record=True, file=io.StringIO())
    report.show(found, console)
    text = console.export_text()
    assert "300 to 350" in text
    assert "large: 1 payments are too young to know, 0 were blocked then" in text
    assert json.loads(json.dumps(found.as_dict()))["lines"][2]["money"] == {"directly": 300.0, "at_most": 350.0}


def test_errors_say_what_to_do(lake, tmp_path):
    """Nothing to try, days out of order, a broken file and days without payments are each told."""
    with pytest.raises(InputError, match="--rules FILE"):
        Request(DAY, DAY)
    with pytest.raises(InputError, match="out of order"):
        Request(DAY, DAY - timedelta(days=1), threshold=0.5)
    broken = tmp_path / "rules.yaml"
    broken.write_text("rules:\n  - {name: x, condition: 'nothing > 1'}")
    with pytest.raises(InputError, match=r"rules\.yaml"):
        trial.read_rules(broken)
    with pytest.raises(InputError, match="cannot be read"):
        trial.read_rules(tmp_path / "gone.yaml")
    lake.pay("t1")
    lake.write()
    with pytest.raises(InputError, match="no payment from 2020-01-01"):
        trial.run(Request(date(2020, 1, 1), date(2020, 1, 1), RuleSet.read(RULES)), lambda *_: None)


def test_the_shipped_rules_can_be_tried():
    """The file that the docs name is one of rules that this program reads."""
    found = trial.read_rules(PROJECT_DIR / "docs" / "examples" / "rules.yaml")
    assert len(found.compiled) >= 3
