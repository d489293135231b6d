"""A model is trusted only if hashes and both forms agree; its reasons are pushes upward by known values."""

import json
import math

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import features
from errors import ModelError
from features import FeatureVector, Profile, Status
from scoring import manifest as manifests
from scoring import trees
from scoring.decision import Decision, decide
from scoring.model import load
from scoring.reasons import LEAST, MOST, TOPIC, explain
from scoring.sentences import SENTENCES
from scoring.shapley import Explainer
from tests import tiny_model
from tests.unit.golden_features import payment

WIDTH = len(features.NAMES)
ABSENT = Profile(Status.ABSENT)


def load_changed(change):
    """Load a copy of the tiny model after `change(files, manifest)`; the manifest is vouched for as changed."""
    files = dict(tiny_model.files())
    manifest = json.loads(files[manifests.MANIFEST_FILE])
    change(files, manifest)
    content = json.dumps(manifest).encode()
    return load("7", content, manifests.sha256(content), files)


def booster():
    return lightgbm.Booster(model_str=tiny_model.files()[manifests.TEXT_FILE].decode())


def vector(**values):
    return FeatureVector(tuple(values.get(name, math.nan) for name in features.NAMES), ABSENT, ABSENT, ABSENT)


def test_wrong_file_is_refused_with_both_hashes():
    """A file that is not the trained one is refused; the message names both SHA-256."""
    good = tiny_model.files()[manifests.ONNX_FILE]

    def change(files, _manifest):
        files[manifests.ONNX_FILE] = good + b"\0"

    with pytest.raises(ModelError) as caught:
        load_changed(change)
    assert manifests.sha256(good) in str(caught.value)
    assert manifests.sha256(good + b"\0") in str(caught.value)


def test_wrong_schema_hash_is_refused_with_both_hashes():
    """A model of other features is refused; the message names both schema hashes."""

    def change(_files, manifest):
        manifest["schema_hash"] = "ab" * 32

    with pytest.raises(ModelError) as caught:
        load_changed(change)
    assert "ab" * 32 in str(caught.value)
    assert features.SCHEMA_HASH in str(caught.value)


def test_manifest_changed_after_registration_is_refused():
    """A manifest with another SHA-256 than was registered, or with none registered, is refused."""
    files = tiny_model.files()
    for expected in ("ab" * 32, None):
        with pytest.raises(ModelError, match="changed after registration"):
            load("7", files[manifests.MANIFEST_FILE], expected, files)


@pytest.mark.parametrize(("name", "says"), [(manifests.ONNX_FILE, "model.onnx"), (manifests.TEXT_FILE, "text model")])
def test_broken_file_with_right_hash_is_refused(name, says):
    """A file that its manifest vouches for and that no library can read is refused as such."""

    def change(files, manifest):
        files[name] = b"not a model"
        manifest["files"][name] = manifests.sha256(b"not a model")

    with pytest.raises(ModelError, match=says):
        load_changed(change)


def test_forms_of_two_models_are_refused():
    """ONNX of one model with the text of another is caught by scoring rows with both."""

    def change(files, manifest):
        other = tiny_model.files(seed=1)[manifests.TEXT_FILE]
        files[manifests.TEXT_FILE] = other
        manifest["files"][manifests.TEXT_FILE] = manifests.sha256(other)

    with pytest.raises(ModelError, match="differ by up to"):
        load_changed(change)


@given(arrays.arrays(np.float32, (5, WIDTH), elements=st.floats(0, 2**20, width=32) | st.just(math.nan)))
def test_batch_and_single_rows_agree_to_the_bit(rows):
    """A payment has the same score alone and in a batch."""
    model = tiny_model.model()
    assert np.array_equal(model.score(rows), np.concatenate([model.score(row[None]) for row in rows]))


@given(arrays.arrays(np.float32, (3, WIDTH), elements=st.floats(0, 2**20, width=32) | st.just(math.nan)))
def test_contributions_sum_to_the_margin(rows):
    """Base and contributions add up to the log-odds that LightGBM itself finds, missing values and all."""
    model = tiny_model.model()
    ours = model.explainer.base + model.contributions(rows).sum(axis=1)
    assert ours == pytest.approx(booster().predict(rows, raw_score=True), abs=1e-9)
    assert ours == pytest.approx(model.score_with_margins(rows)[1], abs=1e-4)


def test_contributions_are_those_of_tree_shap():
    """Every contribution, and the base, is LightGBM's own TreeSHAP's; a row has the same alone and in a batch."""
    model = tiny_model.model()
    random = np.random.default_rng(5)
    rows = random.lognormal(2, 1.5, (300, WIDTH)).astype(np.float32)
    rows[random.random(rows.shape) < 0.1] = np.nan
    shap = booster().predict(rows, pred_contrib=True)
    ours = model.contributions(rows)
    assert ours == pytest.approx(shap[:, :-1], abs=1e-9)
    assert model.explainer.base == pytest.approx(shap[0, -1], abs=1e-9)
    assert np.array_equal(ours, np.concatenate([model.contributions(row[None]) for row in rows]))


def test_trees_too_deep_to_explain_are_refused():
    """A chain of splits on ever other features would need a table beyond any memory; the message says what to do."""
    deep = 24
    ends = np.array([*range(1, deep), ~deep])
    chain = trees.Tree(
        np.arange(deep),
        np.zeros(deep, np.float32),
        np.zeros(deep, np.bool_),
        ~np.arange(deep),
        ends,
        np.ones(deep + 1),
        np.ones(deep + 1),
    )
    with pytest.raises(ModelError, match="max_depth"):
        Explainer(deep, [chain])


@pytest.mark.parametrize("missing", [True, False])
def test_paths_follow_lightgbm_where_a_value_is_missing_or_on_a_threshold(missing):
    """Trained with missing values or without, rows of thresholds and NaN end in LightGBM's own leaves."""
    random = np.random.default_rng(2)
    rows = random.integers(0, 8, (3_000, 4)).astype(np.float32) / 3
    if missing:
        rows[random.random(rows.shape) < 0.2] = np.nan
    fraud = np.nan_to_num(rows, nan=1.5).sum(axis=1) + random.normal(size=len(rows)) > 6
    trained = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, fraud), 20
    )
    width, forest = trees.read(trained.model_to_string().encode())
    explainer = Explainer(width, forest)
    probe = np.concatenate([rows, np.full((1, 4), np.nan, np.float32), np.nan_to_num(rows[:500])])
    expected = trained.predict(probe, pred_contrib=True)
    assert explainer.contributions(probe) == pytest.approx(expected[:, :-1], abs=1e-9)
    assert explainer.base == pytest.approx(expected[0, -1], abs=1e-9)


def test_threshold_divides_approve_and_review():
    """At the threshold and above goes to review, below is approved."""
    model = tiny_model.model()
    low, high = decide(model, [vector(amount=1.0, is_night=0.0), vector(amount=5_000.0, is_night=1.0)])
    assert low.score < model.manifest.threshold <= high.score
    assert (low.decision, high.decision) == (Decision.APPROVE, Decision.REVIEW)


def test_reasons_name_the_cards_own_numbers():
    """A large amount at night is explained by both, with the amount and the card's average in the text."""
    scored = decide(
        tiny_model.model(),
        [
            vector(
                amount=5_000.0,
                is_night=1.0,
                hour_local=3.0,
                card_avg_amount_30d=50.0,
                card_max_amount_30d=80.0,
                card_night_share_30d=0.01,
            )
        ],
    )[0]
    found = {reason.code: reason.text for reason in scored.reasons}
    assert "5,000.00 USD is 100 times this card's 30-day average of 50.00 USD" in found["amount"]
    assert "03:00" in found["time_of_day"]
    assert "1%" in found["time_of_day"]


@pytest.mark.parametrize(
    ("code", "values", "said"),
    [
        (
            "amount",
            {"amount": 1.99, "card_avg_amount_30d": 152.0, "card_max_amount_30d": 900.0},
            "1.99 USD is 1.3% of this card's 30-day average of 152.00 USD",
        ),
        (
            "velocity",
            {
                "tx_count_5min": 6,
                "tx_count_1hr": 6,
                "tx_count_24hr": 6,
                "card_tx_count_30d": 40,
                "card_active_days_30d": 20,
            },
            "6 payments in the 5 minutes before this one; this card's usual day has 2",
        ),
        (
            "velocity",
            {
                "tx_count_5min": 0,
                "tx_count_1hr": 1,
                "tx_count_24hr": 14,
                "card_tx_count_30d": 7,
                "card_active_days_30d": 3,
            },
            "1 payment in the hour before this one, 14 in 24 hours; this card's usual day has 2.3",
        ),
        (
            "velocity",
            {"tx_count_24hr": 0, "time_since_last_tx_s": 3 * 86_400},
            "no payment of this card in the 24 hours before this one, the last one 3 days ago",
        ),
        ("velocity", {"tx_count_24hr": 0}, "no payment of this card in the 24 hours before this one, none in 30 days"),
        ("velocity", {"tx_count_5min": 2, "tx_count_24hr": 2}, "2 payments in the 5 minutes before this one"),
        (
            "spending",
            {"amount_sum_24hr": 1_240, "max_amount_1hr": 900, "card_avg_amount_30d": 31.5},
            (
                "1,240.00 USD paid in the 24 hours before this payment; up to 900.00 USD at once in the last hour; "
                "this card's 30-day average is 31.50 USD"
            ),
        ),
        (
            "place",
            {"geo_velocity_kmh": 1_240, "is_cross_border": 1},
            "1,240 km/h since the card's last payment in person; the merchant is abroad for this card",
        ),
        ("place", {"geo_velocity_kmh": 2_000}, "2,000 km/h or more since the card's last payment in person"),
        ("place", {"geo_velocity_kmh": 0}, "near the card's last payment in person"),
        ("place", {"is_cross_border": 1}, "the merchant is abroad for this card"),
        (
            "merchant_category",
            {"is_high_risk_mcc": 1, "high_risk_merchant_count_1hr": 3},
            (
                "the merchant's category is one that card schemes call high risk; "
                "3 payments in high-risk categories in the hour before"
            ),
        ),
    ],
)
def test_what_a_card_did_just_now_is_told_in_its_own_numbers(code, values, said):
    """How often, how much, how far and where the card paid just before is said as it was counted."""
    found = explain(vector(**values).values, [float(TOPIC[name] == code) for name in features.NAMES], "USD")
    assert [(reason.code, reason.text) for reason in found] == [(code, said)]


@pytest.mark.parametrize(("offset", "clock"), [(None, "UTC"), (0, "local time"), (-300, "local time")])
def test_an_hour_of_nobody_s_clock_is_called_utc(offset, clock):
    """Where the place's own time is not known its hour is that of UTC, and the sentence says so."""
    found = features.build(payment(utc_offset_min=offset), ABSENT, ABSENT, ABSENT)
    pushes = [float(name == "hour_local") for name in features.NAMES]
    (reason,) = explain(found.values, pushes, "USD", is_utc=found.is_utc)
    assert f":00 {clock}" in reason.text


def test_every_feature_belongs_to_a_reason():
    """No feature can push a score without a sentence that could say so."""
    assert set(TOPIC) == set(features.NAMES)
    assert set(TOPIC.values()) == set(SENTENCES)


@given(
    st.lists(st.floats(0, 1e6, width=32) | st.just(math.nan), min_size=WIDTH, max_size=WIDTH),
    st.lists(st.floats(-5, 5), min_size=WIDTH, max_size=WIDTH),
)
def test_reasons_are_upward_known_and_ordered(values, contributions):
    """Whatever the values: at most four reasons, strongest first, upward, none resting on missing values only."""
    flags = {i for i, f in enumerate(features.FEATURES) if f.unit == "flag"}
    values = [float(v > 1) if i in flags and v == v else v for i, v in enumerate(values)]  # noqa: PLR0124 - NaN
    found = explain(values, contributions, "USD")
    assert len(found) <= MOST
    assert [r.weight for r in found] == sorted((r.weight for r in found), reverse=True)
    for reason in found:
        mine = [i for i, name in enumerate(features.NAMES) if TOPIC[name] == reason.code and math.isfinite(values[i])]
        assert reason.weight == pytest.approx(sum(contributions[i] for i in mine), abs=1e-3)
        assert reason.weight >= LEAST - 1e-4
        assert reason.text
        assert "nan" not in reason.text


def test_nothing_known_gives_no_reason():
    """When every value is missing there is a score and no reason, whatever the model makes of it."""
    assert explain([math.nan] * WIDTH, [1.0] * WIDTH, "USD") == []
