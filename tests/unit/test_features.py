"""Every formula of features.py, and the hash that names them."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

import features
import windows
from features import (
    ACCEPTOR_COLUMNS,
    CARD_COLUMNS,
    DAY_US,
    FEATURES,
    NAMES,
    Group,
    Profile,
    Status,
    Window,
    blank,
    observe,
    profile_day,
    schema_hash,
)
from lake.parity.cases import ACCEPTOR as ACCEPTOR_SQL
from settings import PROJECT_DIR, definitions
from tests.unit.golden_features import ACCEPTOR, BUSY, CARD, FILE, MINUTE_US, SATURDAY_0130, now, payment, vector

MOMENTS = st.integers(946_684_800_000_000, 4_102_444_800_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MACROS = PROJECT_DIR / "dbt_project" / "macros" / "values.sql"
TEXTS = pa.schema([(name, pa.string()) for name in ("source", "merchant_id", "terminal_id")])


def value(name: str, found: features.FeatureVector) -> float:
    return found.values[NAMES.index(name)]


def transaction(name: str, **fields) -> float:
    return value(name, vector(payment(**fields), CARD, ACCEPTOR))


@pytest.mark.parametrize("name", NAMES)
def test_golden_vector(name):
    """A changed formula comes with a raised version, and a raised version with new golden values."""
    golden, found = json.loads(FILE.read_text()), now()
    assert set(golden) == set(found), "the list changed: python -m tests.unit.golden_features"
    if found[name]["values"] != golden[name]["values"]:
        assert found[name]["version"] > golden[name]["version"], (
            f"the formula of {name} changed and its version did not: models trained on the old one would be served the "
            "new one. Raise the version in features.py"
        )
    assert found[name] == golden[name], "the version was raised on purpose: python -m tests.unit.golden_features"


def test_golden_covers_every_branch():
    """The golden payments give every feature at least two different values, missing among them where it can be."""
    for name, entry in now().items():
        assert len(set(entry["values"].values())) >= 2, f"{name} has one value in all golden cases"


def test_vector_shape_and_order():
    """The model gets float32 in the order of FEATURES, transaction first, derived last."""
    found = vector(payment(), CARD, ACCEPTOR)
    X = found.to_array()
    assert X.shape == (len(FEATURES),)
    assert X.dtype == np.float32
    groups = [feature.group for feature in FEATURES]
    assert groups == sorted(groups, key=list(Group).index)
    assert X[NAMES.index("card_tx_count_7d")] == np.float32(CARD.values[CARD_COLUMNS.index("card_tx_count_7d")])


@given(MOMENTS, st.integers(-840, 840))
def test_local_time_is_the_calendars(moment, offset):
    """Hour, weekend and night are those of the clock on the wall where the payment was made."""
    local = (EPOCH + timedelta(microseconds=moment)).astimezone(timezone(timedelta(minutes=offset)))
    fields = {"event_time": moment, "utc_offset_min": offset}
    assert transaction("hour_local", **fields) == local.hour
    assert transaction("is_weekend", **fields) == (local.weekday() >= 5)
    assert transaction("is_night", **fields) == (local.hour < 6)


@given(MOMENTS)
def test_profile_day_is_the_newest_published(moment):
    """The row that counts is of the newest day whose publication is not after the payment."""
    delay = timedelta(hours=definitions().publish_delay_hours)
    day = EPOCH + timedelta(days=profile_day(moment))
    at = EPOCH + timedelta(microseconds=moment)
    assert day + delay <= at < day + timedelta(days=1) + delay


def test_profile_day_at_the_edge():
    """At 03:00 sharp the new day's row is the one; a microsecond before it is yesterday's."""
    day = SATURDAY_0130 // DAY_US
    assert profile_day(day * DAY_US + 3 * features.HOUR_US) == day
    assert profile_day(day * DAY_US + 3 * features.HOUR_US - 1) == day - 1


@given(st.integers(0, 10**11), st.sampled_from(["USD", "EUR", "JPY", "GBP"]))
def test_round_amounts_follow_the_currencys_decimals(minor, currency):
    """Round means a multiple of ten whole units of the currency, and not zero."""
    whole = minor / 10 ** (0 if currency == "JPY" else 2)
    assert transaction("is_round_amount", amount_minor=minor, currency=currency) == (minor > 0 and whole % 10 == 0)


def test_amount_prefers_what_was_billed():
    """The billing amount counts; without it the amount is converted; without a rate it is missing, not zero."""
    assert transaction("amount", amount_minor=100, billing_amount_minor=2_000, billing_currency="USD") == 20
    assert transaction("amount", amount_minor=100) == 1
    assert math.isnan(transaction("amount", currency="BHD"))


def test_new_is_not_missing():
    """A new card has counts of 0 and no averages, and is not degraded; a new acceptor has the prior as its risk."""
    found = vector(payment(), Profile(Status.NEW), Profile(Status.NEW))
    assert value("card_tx_count_30d", found) == 0
    assert math.isnan(value("card_avg_amount_30d", found))
    assert value("merchant_risk_30d", found) == definitions().fraud_prior
    assert found.degraded == {}


@pytest.mark.parametrize("status", [Status.STALE, Status.FUTURE, Status.UNREACHABLE])
def test_stale_future_and_unreachable_are_missing_and_named(status):
    """A profile that should be there and is not makes its whole group NaN, whatever values came along, and is named."""
    found = vector(payment(), Profile(status, CARD.values), Profile(status, ACCEPTOR.values))
    assert all(math.isnan(value(name, found)) for name in (*CARD_COLUMNS, *ACCEPTOR_COLUMNS, "amount_vs_avg_ratio"))
    assert found.degraded == {"card": status.value, "acceptor": status.value}


def test_absent_acceptor_is_missing_but_not_degraded():
    """A payment that names no acceptor has no acceptor features, and nothing is wrong."""
    found = vector(payment(), CARD, Profile(Status.ABSENT))
    assert all(math.isnan(value(name, found)) for name in ACCEPTOR_COLUMNS)
    assert found.degraded == {}


@given(st.sampled_from(list(Status)), st.sampled_from([Group.CARD, Group.ACCEPTOR, Group.WINDOW]))
def test_blank_fits_its_group(status, group):
    """Every group that is looked up has a blank of its own width for every status."""
    assert len(blank(group, status)) == sum(feature.group is group for feature in FEATURES)


def test_the_window_stands_in_its_columns():
    """The values of windows.py stand under its names, in its order; a first payment has counts of 0."""
    assert tuple(feature.name for feature in FEATURES if feature.group is Group.WINDOW) == windows.COLUMNS
    found = vector(payment(), CARD, ACCEPTOR)
    assert (value("tx_count_24hr", found), value("amount_sum_24hr", found)) == (0, 0)
    assert math.isnan(value("time_since_last_tx_s", found))
    assert found.degraded == {}


@pytest.mark.parametrize(("window", "minutes", "status"), [(None, 0, "unreachable"), (BUSY, -11, "late")])
def test_a_window_that_cannot_be_had_is_missing_and_named(window, minutes, status):
    """A store that is away, or a payment older than its card's window, leaves the group NaN and degraded."""
    found = vector(payment(event_time=SATURDAY_0130 + minutes * MINUTE_US), CARD, ACCEPTOR, window)
    assert all(math.isnan(value(name, found)) for name in windows.COLUMNS)
    assert found.degraded == {"window": status}


def test_windows_count_attempts_and_add_money():
    """Refunds and reversals are no attempts; a verification is one without money; unknown rates leave no amount."""
    found = vector(payment(transaction_id="next", event_time=SATURDAY_0130 + 1, mcc="5411"), CARD, ACCEPTOR, BUSY)
    assert (value("tx_count_5min", found), value("tx_count_1hr", found), value("tx_count_24hr", found)) == (2, 5, 6)
    assert value("amount_sum_24hr", found) == 20 + 7.77 + 500 + 12.34
    assert value("max_amount_1hr", found) == 500
    assert value("high_risk_merchant_count_1hr", found) == 2
    assert not observe(Window(), payment(message_type="refund"))


def test_optional_fields_missing_at_the_source():
    """A payment with only the required fields has NaN exactly where the source said nothing."""
    found = vector(payment(), Profile(Status.NEW), Profile(Status.ABSENT))
    missing = {name for name, v in zip(NAMES[:10], found.values[:10], strict=True) if math.isnan(v)}
    assert missing == {
        "is_card_present",
        "is_cross_border",
        "mcc_group",
        "is_high_risk_mcc",
        "is_strongly_authenticated",
    }


def test_acceptors_of_two_sources_are_two():
    """Merchant numbers are the source's own: the same number elsewhere is another acceptor. Else the terminal is."""
    assert features.acceptor_id(payment(merchant_id="7")) == "s:7"
    assert features.acceptor_id(payment(source="z", merchant_id="7")) == "z:7"
    assert features.acceptor_id(payment(terminal_id="9")) == "s:9"
    assert features.acceptor_id(payment()) is None


@given(*[st.text("ab:%3A25", min_size=1, max_size=5)] * 4)
def test_no_source_can_write_the_name_of_anothers_acceptor(one, its, other, theirs):
    """Colons in sources and merchant numbers never make one acceptor of two."""
    found = [features.acceptor_id(payment(source=s, merchant_id=m)) for s, m in ((one, its), (other, theirs))]
    assert (found[0] == found[1]) == ((one, its) == (other, theirs))


NAMED = st.none() | st.text("m:%'é ", min_size=1, max_size=4)


@given(st.lists(st.tuples(st.text("ab:%3A", min_size=1, max_size=6), NAMED, NAMED), min_size=1, max_size=20))
def test_silver_and_parity_name_acceptors_as_features_do(paid):
    """The SQL of Silver (dbt's macro) and of `lake.parity` gives the key that serving asks for."""
    macros = Environment(extensions=["jinja2.ext.do"]).from_string(MACROS.read_text()).module
    columns = ["source", "merchant_id", "terminal_id"]
    payments = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in paid], schema=TEXTS)
    with duckdb.connect() as database:
        database.register("arrived", payments)
        found = database.sql(f"select {macros.acceptor_id('arrived')}, {ACCEPTOR_SQL} from arrived").fetchall()
    expected = [features.acceptor_id(payment(**row)) for row in payments.to_pylist()]
    assert found == [(each, each) for each in expected]


@pytest.mark.parametrize("change", [{"name": "x"}, {"unit": "x"}, {"ttl_s": 1}, {"version": 99}])
def test_schema_hash_covers(change):
    """Name, unit, time to live and version of any feature change the hash; so does the order."""
    changed = (replace(FEATURES[3], **change), *FEATURES[1:])
    assert schema_hash(changed) != schema_hash((FEATURES[3], *FEATURES[1:]))
    assert schema_hash(FEATURES[::-1]) != features.SCHEMA_HASH
    assert schema_hash() == features.SCHEMA_HASH


@pytest.mark.parametrize("name", ["label_delay_days", "publish_delay_hours", "fraud_prior", "reporting_currency"])
def test_schema_hash_covers_definitions(name, monkeypatch):
    """A changed delay, prior or currency changes what the features mean, and so the hash."""
    now_is = getattr(definitions(), name)
    other = definitions().model_copy(update={name: "EUR" if isinstance(now_is, str) else now_is + 1})
    monkeypatch.setattr(features, "definitions", lambda: other)
    assert schema_hash() != features.SCHEMA_HASH


def test_schema_hash_leaves_out_what_no_feature_uses(monkeypatch):
    """When silence means genuine is a matter of labels: another maturity makes no model and no profile another's."""
    other = definitions().model_copy(update={"maturity_days": definitions().maturity_days + 1})
    monkeypatch.setattr(features, "definitions", lambda: other)
    assert schema_hash() == features.SCHEMA_HASH


def test_six_payments_in_one_second_see_none_to_five():
    """What arrived before and is not later in time counts as before, whatever the payments are called."""
    window, seen = Window(), []
    for name in ("f", "a", "e", "b", "d", "c"):
        paid = payment(transaction_id=name)
        seen.append(features.windowed(paid, window).values[0])
        assert observe(window, paid)
    assert seen == [0, 1, 2, 3, 4, 5]
