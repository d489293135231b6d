"""Point-in-time tables as the lake gives them, made up and seeded."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, DAY_US
from ml.dataset.rows import collect
from ml.dataset.vectors import WINDOW_COLUMNS
from ml.evaluation import experiment
from ml.periods import Split

FIRST_US = 1_717_200_000_000_000
"""2024-06-01, a Saturday, 00:00 UTC."""


SPLIT = Split(date(2024, 6, 1), date(2024, 6, 24), 7, date(2024, 7, 2), date(2024, 7, 9))


def outcome(seed: int = 5, n: int = 12_000, split: Split = SPLIT) -> experiment.Result:
    """Return the experiment on n made-up payments."""
    payments, verdicts = table(n, seed=seed)
    rows = collect([payments], split.test_us[0])

    def known(as_of_us: int | None) -> pa.Table:
        return verdicts if as_of_us is None else verdicts.filter(pc.less(verdicts.column("known_at"), as_of_us))

    return experiment.run(rows, known, split, 5)


def table(n: int, days: int = 40, seed: int = 5, fraud_share: float = 0.05) -> tuple[pa.Table, pa.Table]:
    """Return n payments in time order, with profiles and windows, and the frauds' verdicts, a week later.

    Frauds are larger amounts with higher profiles and windows, all on a third of the cards; every tenth payment has no
    card profile, every eleventh no acceptor, every thirteenth came too late for a window.
    """
    random = np.random.default_rng(seed)
    event_time = np.sort(random.integers(0, days * DAY_US, n)) + FIRST_US
    card = random.integers(0, 600, n)
    fraud = (random.random(n) < 3 * fraud_share) & (card < 200)
    amount = np.where(fraud, random.lognormal(10.5, 1, n), random.lognormal(8, 1, n)).astype(np.int64)
    no_card, no_acceptor, late = (np.arange(n) % every == 0 for every in (10, 11, 13))
    ids = [f"t{i}" for i in range(n)]
    day = (event_time // DAY_US).astype(np.int32)
    columns = {
        "source": pa.array(["shop"] * n),
        "transaction_id": pa.array(ids),
        "event_time": pa.array(event_time),
        "message_type": pa.array(["authorization"] * n),
        "card_id": pa.array([f"{c:064x}" for c in card]),
        "amount_minor": pa.array(amount),
        "currency": pa.array(["USD"] * n),
        "merchant_id": pa.array([None if gone else "m1" for gone in no_acceptor], pa.string()),
        "mcc": pa.array(random.choice(["5411", "7995", "5812"], n)),
        "merchant_country": pa.array(["US"] * n),
        "card_country": pa.array(random.choice(["US", "CA"], n)),
        "entry_mode": pa.array(random.choice(["chip", "ecommerce"], n)),
        "authentication": pa.array(random.choice(["pin", "none"], n)),
        "acceptor_id": pa.array([None if gone else "shop:m1" for gone in no_acceptor], pa.string()),
        "card_as_of_day": pa.array(day, mask=no_card),
        "acceptor_as_of_day": pa.array(day, mask=no_acceptor),
    }
    for name in ("utc_offset_min", "billing_amount_minor"):
        columns[name] = pa.nulls(n, pa.int64())
    for name in ("account_id", "billing_currency", "terminal_id", "device_id"):
        columns[name] = pa.nulls(n, pa.string())
    for name in ("latitude", "longitude"):
        columns[name] = pa.nulls(n, pa.float64())
    for names, gone in ((CARD_COLUMNS, no_card), (ACCEPTOR_COLUMNS, no_acceptor)):
        for name in names:
            columns[name] = pa.array(random.random(n) + fraud, mask=gone)
    columns["window_status"] = pa.array(np.where(late, "late", "fresh"))
    for name in WINDOW_COLUMNS:
        columns[name] = pa.array(np.where(late, np.nan, random.random(n) + fraud / 2))
    chosen = np.flatnonzero(fraud)
    verdicts = pa.table(
        {
            "source": pa.array(["shop"] * len(chosen)),
            "transaction_id": pa.array([ids[i] for i in chosen]),
            "verdict": pa.array(["fraud"] * len(chosen)),
            "known_at": pa.array(event_time[chosen] + 7 * DAY_US),
            "origin": pa.array(["chargeback"] * len(chosen)),
        }
    )
    return pa.table(columns), verdicts
