"""Labels as they were known: whose card was compromised, and since when."""

import numpy as np
import pyarrow as pa

from features import DAY_US
from ml.dataset.labels import compromised, frauds, is_fraud
from ml.dataset.rows import Rows

DAY0 = 19_000 * DAY_US


def rows(*payments: tuple[str, int, int]) -> Rows:
    """Payments (id, card, microseconds since day 0)."""
    return Rows(
        X=np.zeros((len(payments), 1), np.float32),
        masked_at=np.zeros(0, np.int64),
        masked=np.zeros((0, 1), np.float32),
        key=pa.array([f"shop\x1f{p[0]}" for p in payments], pa.large_string()),
        event_time=np.array([DAY0 + p[2] for p in payments]),
        card=np.array([p[1] for p in payments]),
    )


def verdicts(*events: tuple[str, str, int]) -> pa.Table:
    """Verdicts (id, verdict, microseconds since day 0)."""
    return pa.table(
        {
            "source": pa.array(["shop"] * len(events), pa.string()),
            "transaction_id": pa.array([e[0] for e in events], pa.string()),
            "verdict": pa.array([e[1] for e in events], pa.string()),
            "known_at": pa.array([DAY0 + e[2] for e in events], pa.int64()),
        }
    )


def test_only_fraud_verdicts_make_fraud():
    """A genuine verdict and no verdict are both not fraud."""
    found = rows(("a", 0, 0), ("b", 0, 1), ("c", 0, 2))
    assert is_fraud(found, frauds(verdicts(("a", "fraud", 5), ("b", "genuine", 5)))).tolist() == [True, False, False]


def test_compromised_from_the_day_after_it_was_known():
    """A card counts as known from the first midnight after the verdict, and no other card does."""
    found = rows(("a", 7, 0), ("b", 7, DAY_US + 10), ("c", 7, 2 * DAY_US), ("d", 3, 2 * DAY_US))
    known = frauds(verdicts(("a", "fraud", DAY_US)))
    assert compromised(found, known).tolist() == [False, False, True, False]


def test_frauds_before_the_training_do_not_count():
    """A fraud that is not among the rows (older than the training's first day) compromises nobody."""
    found = rows(("b", 7, 2 * DAY_US))
    assert compromised(found, frauds(verdicts(("older", "fraud", 0)))).tolist() == [False]


def test_no_verdicts_at_all():
    """Without any verdict nobody is compromised and nothing is fraud."""
    found = rows(("a", 0, 0))
    known = frauds(verdicts())
    assert not compromised(found, known).any()
    assert not is_fraud(found, known).any()
