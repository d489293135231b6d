"""What is landed from outside the lake: a letter's row, a training run's row and its weeks."""

from datetime import UTC, datetime

from clients.mlflow import Version
from contracts.deadletter import Context, Stage
from lake import landing

EVALUATION = {
    "periods": {
        "train_from": "2024-01-01",
        "train_to": "2024-02-01",
        "test_from": "2024-02-09",
        "test_to": "2024-02-20",
        "delay_days": 7,
    },
    "training": {"rows": 100},
    "threshold": 0.1,
    "sets": [
        {
            "rows": 50,
            "frauds": 5,
            "models": [
                {"model": "lightgbm", "average_precision": 0.9, "recall": 0.8, "precision": 0.7, "roc_auc": 0.99},
                {"model": "lightgbm without windows", "average_precision": 0.85},
                {"model": "amount x night", "average_precision": 0.5},
                {"model": "random forest", "average_precision": None},
            ],
        }
    ],
    "weeks": [
        {"week": "2024-02-05", "payments": 20, "frauds": 2, "average_precision": 0.9, "recall": 1.0, "precision": None}
    ],
}


def test_a_letter_keeps_its_reason_and_its_two_places() -> None:
    """The row says where the letter stands, what it was refused for, and where the record stood."""
    context = Context(Stage.BRONZE, "bad_amount", "amount is negative", 7, "transactions.raw", 3, 41)
    row = landing.letter(1, 12, 1_700_000_000_123, context)
    assert row.keys() == landing.LETTER.keys()
    assert (row["letter_partition"], row["letter_offset"], row["source_partition"], row["source_offset"]) == (
        1,
        12,
        3,
        41,
    )
    assert row["letter_time"] == "2023-11-14 22:13:20.123 UTC"
    assert row["letter_day"] == "2023-11-14"


def test_a_run_is_told_beside_its_best_trivial_baseline() -> None:
    """The model without windows is no baseline, and one that could not be measured does not count."""
    version = Version("fraud-scorer", 4, "run", {}, "1/run/artifacts/model", datetime(2024, 3, 1, tzinfo=UTC))
    row, weeks = landing.run(version, EVALUATION)
    assert row.keys() == landing.RUN.keys()
    assert row["best_baseline_average_precision"] == 0.5
    assert (row["model_version"], row["average_precision"], row["test_to"]) == ("4", 0.9, "2024-02-20")
    assert weeks == [{"run_id": "run", "model_version": "4", **EVALUATION["weeks"][0]}]
    assert weeks[0].keys() == landing.WEEK.keys()


def test_a_run_from_before_there_were_weeks_has_none() -> None:
    """An older evaluation is landed all the same."""
    version = Version("fraud-scorer", 1, "old", {}, "1/old/artifacts/model", datetime(2024, 3, 1, tzinfo=UTC))
    older = {name: value for name, value in EVALUATION.items() if name != "weeks"}
    assert landing.run(version, older)[1] == []
