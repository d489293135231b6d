"""The golden vectors: payments with profiles that reach every branch, and what each feature gives for them.

`python -m tests.unit.golden_features` writes the file anew, after a formula and its version were changed on purpose.
"""

import json
import math
from pathlib import Path
from typing import Any

from features import (
    ACCEPTOR_COLUMNS,
    CARD_COLUMNS,
    FEATURES,
    FeatureVector,
    Profile,
    Status,
    Window,
    build,
    observe,
    windowed,
)

FILE = Path(__file__).with_name("golden_features.json")
SATURDAY_0130 = 1_717_205_400_000_000
"""2024-06-01 01:30 UTC."""
CARD = Profile(Status.FRESH, tuple(float(i) + 0.25 for i in range(len(CARD_COLUMNS))), 19_875, 7)
ACCEPTOR = Profile(Status.FRESH, tuple(float(i) / 8 for i in range(len(ACCEPTOR_COLUMNS))), 19_875, 7)
NO_AVERAGE = Profile(Status.FRESH, (0.0, 0.0, 3.0, *[math.nan] * (len(CARD_COLUMNS) - 3)), 19_875, 7)

MINUTE_US = 60_000_000


def payment(**fields: Any) -> dict[str, Any]:
    """Return a payment with only the required fields, and `fields`."""
    required = {
        "source": "s",
        "transaction_id": "t",
        "event_time": SATURDAY_0130,
        "card_id": "c",
        "amount_minor": 12_345,
        "currency": "USD",
    }
    return required | fields


EMPTY = Window()
BUSY = Window()
"""A card that paid six times in the 75 minutes before, and was given money back."""
for minutes, fields in (
    (75, {"amount_minor": 2_000, "mcc": "7995"}),
    (48, {"amount_minor": 1_000, "currency": "BHD", "mcc": "5411"}),
    (27, {"amount_minor": 777, "entry_mode": "contactless", "latitude": 41.2, "longitude": -74.0}),
    (12, {"amount_minor": 0, "message_type": "verification", "mcc": "7995"}),
    (3, {"amount_minor": 9_999, "message_type": "refund"}),
    (3, {"amount_minor": 50_000, "message_type": "advice", "mcc": "6051"}),
    (0, {"amount_minor": 1_234, "mcc": "5411"}),
):
    observe(BUSY, payment(transaction_id=f"b{minutes}", event_time=SATURDAY_0130 - minutes * MINUTE_US, **fields))
BURST = Window()
"""A card that paid six times in one second, under ids that are not in the order of their arrival."""
for name in ("f", "a", "e", "b", "d", "c"):
    observe(BURST, payment(transaction_id=name, amount_minor=100 * (ord(name) - 96), mcc="7995"))


CASES = {
    "minimal, new card, no acceptor": (payment(), Profile(Status.NEW), Profile(Status.ABSENT)),
    "everything known": (
        payment(
            utc_offset_min=-300,
            mcc="5411",
            merchant_country="US",
            card_country="US",
            entry_mode="chip",
            authentication="pin",
            merchant_id="m",
        ),
        CARD,
        ACCEPTOR,
    ),
    "abroad, online, high risk": (
        payment(
            utc_offset_min=330,
            mcc="7995",
            merchant_country="FR",
            card_country="US",
            entry_mode="ecommerce",
            authentication="three_ds_frictionless",
            terminal_id="t9",
        ),
        CARD,
        Profile(Status.NEW),
    ),
    "round amount, unknown modes": (
        payment(amount_minor=5_000, entry_mode="unknown", authentication="unknown"),
        NO_AVERAGE,
        ACCEPTOR,
    ),
    "no decimals": (payment(amount_minor=12_340, currency="JPY"), CARD, ACCEPTOR),
    "three decimals, no rate": (payment(amount_minor=20_000, currency="BHD"), CARD, ACCEPTOR),
    "billed in another currency": (
        payment(currency="JPY", billing_amount_minor=9_000, billing_currency="EUR"),
        CARD,
        ACCEPTOR,
    ),
    "nothing to pay, weekday": (payment(amount_minor=0, event_time=SATURDAY_0130 - 9 * 3_600_000_000), CARD, ACCEPTOR),
    "store away": (payment(mcc="0742"), Profile(Status.UNREACHABLE), Profile(Status.STALE), None),
    "row of tomorrow": (payment(mcc="9999"), Profile(Status.FUTURE), Profile(Status.FUTURE)),
    "far away a moment later": (
        payment(event_time=SATURDAY_0130 + MINUTE_US, entry_mode="chip", latitude=48.857, longitude=2.352, mcc="5411"),
        CARD,
        ACCEPTOR,
        BUSY,
    ),
    "a day later, near": (
        payment(event_time=SATURDAY_0130 + 1_410 * MINUTE_US, entry_mode="chip", latitude=41.3, longitude=-74.1),
        CARD,
        ACCEPTOR,
        BUSY,
    ),
    "seventh of one second": (payment(transaction_id="g", mcc="7995"), CARD, ACCEPTOR, BURST),
    "third of one second, again": (payment(transaction_id="e", mcc="7995"), CARD, ACCEPTOR, BURST),
    "too late": (payment(event_time=SATURDAY_0130 - 11 * MINUTE_US, mcc="5411"), CARD, ACCEPTOR, BUSY),
}


def vector(paid: dict[str, Any], card: Profile, acceptor: Profile, window: Window | None = EMPTY) -> FeatureVector:
    """Return the vector of a payment; without a window its store was away."""
    return build(paid, card, acceptor, Profile(Status.UNREACHABLE) if window is None else windowed(paid, window))


def now() -> dict[str, dict[str, Any]]:
    """Return for each feature its version and, for each case, its value (null for NaN)."""
    vectors = {name: vector(*case).to_array().tolist() for name, case in CASES.items()}
    return {
        feature.name: {
            "version": feature.version,
            "values": {name: None if math.isnan(v[i]) else v[i] for name, v in vectors.items()},
        }
        for i, feature in enumerate(FEATURES)
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(now(), indent=1) + "\n")
