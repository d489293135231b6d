"""The whole comparison on made-up payments, and the files that come of it."""

import io
import json

import numpy as np
import pyarrow.compute as pc
import pytest
from rich.console import Console

import features
from errors import InputError
from ml.dataset.labels import frauds, is_fraud
from ml.dataset.masking import PROFILES, Masked
from ml.dataset.rows import collect
from ml.dataset.vectors import WINDOW_COLUMNS
from ml.evaluation import experiment, report
from ml.registry import artifacts
from ml.training.booster import Choice, Sample, choose, fit_final
from scoring import manifest as manifests
from tests.unit.ml_tables import SPLIT, outcome, table

VERSIONS = {"silver.transactions": 3}


@pytest.fixture(scope="module")
def result() -> experiment.Result:
    return outcome()


def test_the_model_beats_its_baselines_and_chance_is_chance(result):
    """On both row sets LightGBM is above the amount, prevalence at its own share, nothing above the ceiling."""
    for found in result.sets:
        scores = found.models
        assert set(scores) == {
            "lightgbm",
            "lightgbm without windows",
            "prevalence",
            "amount",
            "amount x night",
            "logistic regression",
            "random forest",
        }
        assert scores["lightgbm"].average_precision > 0.9 > scores["amount"].average_precision
        assert scores["prevalence"].average_precision == pytest.approx(found.prevalence)
        assert max(s.card_precision for s in scores.values()) <= found.ceiling
    everyone, unknown = result.sets
    assert unknown.rows < everyone.rows


def test_outages_cost_something_and_are_told(result):
    """Without profiles the model is worse, and the figures say by how much and for whom."""
    by_name = {outage.name: outage for outage in result.outages}
    assert list(by_name) == [
        "nothing missing",
        "no card profile",
        "no acceptor profile",
        "neither",
        "no window",
        "nothing from the online store",
    ]
    assert by_name["neither"].average_precision < by_name["nothing missing"].average_precision
    assert by_name["nothing missing"].average_precision == result.sets[0].models["lightgbm"].average_precision
    assert by_name["neither"].false_positive_rate > by_name["nothing missing"].false_positive_rate


def test_masking_is_what_keeps_scores_sane():
    """While the store is away, a model trained on whole rows alone is worse than one that has seen gaps."""
    payments, verdicts = table(12_000)
    rows = collect([payments], SPLIT.test_us[0])
    fraud = is_fraud(rows, frauds(verdicts))
    train, test = rows.between(*SPLIT.train_us), rows.between(*SPLIT.test_us)
    away = rows.outages[PROFILES | Masked.WINDOW][: test.stop - test.start]
    found = {}
    for name, X in (("masked", rows.for_training(train)), ("whole", rows.X[train])):
        sample = Sample(X, fraud[train], rows.event_time[train])
        booster = fit_final(sample, Choice(255, 1.0, 60, 0.5, 1.0, ()))
        found[name] = experiment.Test(away, fraud[test]).average_precision(booster)
    assert found["masked"] > found["whole"] + 0.05, found


def test_windows_are_told_by_a_model_without_them(result):
    """The row without windows is a model that cannot see them: worth less where they tell something, blind to them."""
    everyone = result.sets[0].models
    assert everyone["lightgbm"].average_precision > everyone["lightgbm without windows"].average_precision
    payments, verdicts = table(4_000)
    rows = collect([payments], SPLIT.test_us[0])
    sample = Sample(rows.X, is_fraud(rows, frauds(verdicts)), rows.event_time).without(features.Group.WINDOW)
    booster = fit_final(sample, Choice(255, 1.0, 20, 0.5, 1.0, ()))
    assert np.array_equal(booster.predict(rows.X), booster.predict(sample.X))
    assert not np.isnan(rows.X[1, features.NAMES.index("tx_count_1hr")]), "the rows themselves keep their windows"


def test_training_counts_only_what_was_known(result):
    """Frauds of the training are those whose verdict came before the test began."""
    _, verdicts = table(12_000)
    event = pc.subtract(verdicts.column("known_at"), 7 * features.DAY_US).to_numpy()
    inside = (event >= SPLIT.train_us[0]) & (event < SPLIT.train_us[1])
    assert result.trained.frauds == inside.sum()


def test_labels_that_come_late_are_not_learned():
    """A fraud whose verdict comes after the test's first moment is not fraud in training."""
    payments, verdicts = table(12_000)
    rows = collect([payments], SPLIT.test_us[0])
    nothing = verdicts.slice(0, 0)
    with pytest.raises(InputError, match=r"training .* has 0 known frauds"):
        experiment.run(rows, lambda as_of_us: verdicts if as_of_us is None else nothing, SPLIT, 5)


def test_the_same_rows_give_the_same_model():
    """Two fits on the same rows give the same bytes."""
    payments, verdicts = table(4_000)
    rows = collect([payments], SPLIT.test_us[0])
    fraud = pc.is_in(payments.column("transaction_id"), verdicts.column("transaction_id").combine_chunks()).to_numpy()
    half = Sample(rows.X[:2_000], fraud[:2_000], rows.event_time[:2_000])
    rest = Sample(rows.X[2_000:], fraud[2_000:], rows.event_time[2_000:])
    choices = [choose(half, rest) for _ in range(2)]
    assert choices[0] == choices[1]
    texts = [fit_final(half, choices[0]).model_to_string() for _ in range(2)]
    assert texts[0] == texts[1]


def test_one_class_alone_teaches_nothing():
    """Where every payment to fit is genuine there is nothing to choose from: an error that says what to do."""
    rows = np.zeros((4, len(features.NAMES)), np.float32)
    genuine = Sample(rows, np.zeros(4, np.bool_), np.arange(4, dtype=np.int64))
    with pytest.raises(InputError, match="train on more days"):
        choose(genuine, genuine)


def test_the_table_shows_each_figure_under_its_name(result):
    """The columns of the printed table are the figures of the model, in the order of their titles."""
    console = Console(width=200, record=True, file=io.StringIO())
    report.show(result, console)
    scores = result.sets[0].models["lightgbm"]
    figures = (scores.average_precision, scores.card_precision, scores.roc_auc, scores.recall, scores.precision)
    line = next(line for line in console.export_text().splitlines() if line.startswith("│ lightgbm "))
    assert [cell.strip() for cell in line.strip("│").split("│")[1:]] == [f"{figure:.3f}" for figure in figures]


def test_the_manifest_goes_round(result):
    """The manifest that is stored can be read and vouches for exactly the files that were written."""
    built = artifacts.build(result, VERSIONS)
    content = built.manifest.to_bytes()
    found = manifests.read(content, manifests.sha256(content))
    manifests.verify(found, built.files)
    assert found.threshold == result.choice.threshold
    assert found.delta_versions == VERSIONS
    assert found.training.frauds == result.trained.frauds
    assert found.training.as_of.isoformat() == "2024-07-02T00:00:00+00:00"
    assert found.metrics["test_average_precision"] == result.sets[0].models["lightgbm"].average_precision
    with pytest.raises(Exception, match="SHA-256"):
        manifests.verify(found, built.files | {"model.txt": built.files["model.txt"] + b" "})


def test_the_table_is_json(result):
    """What evaluate --json writes is plain JSON with every set's rows, cards, frauds, prevalence and models."""
    found = json.loads(json.dumps(report.as_dict(result, VERSIONS), allow_nan=False))
    assert [s["name"] for s in found["sets"]] == ["all cards", "cards not yet known as compromised"]
    assert all(s["rows"] and s["cards"] and s["frauds"] and s["prevalence"] for s in found["sets"])
    assert found["periods"]["delay_days"] == 7
    assert found["sets"][0]["models"][0]["model"] == "lightgbm"


def test_importances_are_shares(result):
    """Importances are shares of the gain, largest first, and the pictures are what they claim to be."""
    shares = artifacts.importances(result.booster)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    made = artifacts.pictures(result, VERSIONS, report.as_dict(result, VERSIONS))
    assert made["importances.png"].startswith(b"\x89PNG")


def test_no_feature_is_always_missing_where_the_source_has_it(result):
    """SQL names ignore case: a profile column that came through empty would show here."""
    X = result.test.X
    assert (
        not np.isnan(X)
        .all(axis=0)[
            [features.NAMES.index(n) for n in (*features.CARD_COLUMNS, *features.ACCEPTOR_COLUMNS, *WINDOW_COLUMNS)]
        ]
        .any()
    )


def test_the_test_is_told_by_week():
    """Weeks begin on Mondays; their payments and frauds add up; a week that flags nothing has no precision."""
    thursday = 0
    day = np.array([thursday, thursday + 3, thursday + 4, thursday + 4, thursday + 5])
    fraud = np.array([True, False, True, False, False])
    score = np.array([0.9, 0.1, 0.2, 0.1, 0.3])
    first, second = experiment.by_week(fraud, score, day, 0.5)
    assert (str(first.week), first.payments, first.frauds) == ("1969-12-29", 2, 1)
    assert (first.average_precision, first.recall, first.precision) == (1, 1, 1)
    assert (str(second.week), second.payments, second.frauds) == ("1970-01-05", 3, 1)
    assert (second.average_precision, second.recall) == (0.5, 0)
    assert np.isnan(second.precision)


def test_the_weeks_of_a_run_add_up_to_its_test(result):
    """No payment and no fraud of the test is in no week, or in two."""
    tested = result.sets[0]
    assert sum(week.payments for week in result.weeks) == tested.rows
    assert sum(week.frauds for week in result.weeks) == tested.frauds
    assert [week["week"] for week in report.as_dict(result, VERSIONS)["weeks"]] == [str(w.week) for w in result.weeks]
