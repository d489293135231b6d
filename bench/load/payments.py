"""Payments for a load: real cards and acceptors from Silver under fresh ids; for Kafka, entities of the bench's own.

What goes to Kafka lands in the lake for good, so it carries the source `bench` and cards of its own: the profiles of
nobody else change. Event times are the platform's newest, so that a replayed file of 2020 is not dragged to today.
"""

import hashlib
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from epoch import to_us
from errors import InputError
from lake import reading
from lake.point_in_time import RECORD
from lake.tables import TRANSACTIONS

Payment = dict[str, Any]
SOURCE = "bench"
CARDS = 100_000
"""Of each run's own: at 500 payments/s one of them pays every three minutes, which is still a lot."""
ACCEPTORS = 5_000
SPAN_US = 60_000_000
UNUSUAL = 0.02
DRAWN_FROM = 10
DECIDED_H = 47
"""Payments more than 48 h behind the clock are history, which the stream does not decide; an hour is for measuring."""


@dataclass(frozen=True)
class Sample:
    """Payments of the newest days of Silver (dicts of the Avro fields) and the newest event time (UTC us)."""

    payments: Sequence[Payment]
    newest_us: int


def sample(count: int = 5_000, seed: int = 0) -> Sample:
    """Draw up to `count` authorizations from Silver's newest days; InputError when Silver has none.

    From many more than are needed: the thefts that the tour plays on the last day are few among them.
    """
    table = reading.open_table(TRANSACTIONS)
    days = sorted(reading.read(table, ["event_day"])["event_day"].unique().to_pylist(), reverse=True)
    found: list[Payment] = []
    for day in days:
        filters = [
            ("event_day", "=", day),
            ("message_type", "=", "authorization"),
            ("source", "!=", SOURCE),
        ]
        found += reading.read(table, RECORD, filters).to_pylist()
        if len(found) >= DRAWN_FROM * count:
            break
    if not found:
        raise InputError("silver.transactions has no authorization yet; run `make demo`, or send payments and refresh")
    for payment in found:
        payment["event_time"] = to_us(payment["event_time"])
    newest = max(payment["event_time"] for payment in found)
    return Sample(random.Random(seed).sample(found, min(count, len(found))), newest)  # noqa: S311 - not a secret


def decided(found: Sample) -> Sample:
    """Return the sample if payments at its newest time would be decided on the stream; InputError if not."""
    hours = (time.time() - found.newest_us / 1e6) / 3_600
    if hours > DECIDED_H:
        raise InputError(
            f"the newest payment of silver.transactions is {hours:,.0f} h old, and after 48 h they are history, not "
            "decided; send new ones (`python -m ingestion simulate --tps 20 --seconds 60`) and run `make refresh`"
        )
    return found


def to_score(found: Sample, unusual: float = UNUSUAL, seed: int = 0) -> Iterator[Payment]:
    """Yield payments for ever: cards and acceptors of the sample, fresh ids, at the newest event time.

    A share `unusual` of them is thirty times as large, from abroad and not card-present, so that some are held and
    their reasons are computed.
    """
    rng = random.Random(seed)  # noqa: S311 - not a secret
    run = os.urandom(4).hex()
    number = 0
    while True:
        number += 1
        payment = rng.choice(found.payments) | {
            "transaction_id": f"{SOURCE}-{run}-{number}",
            "event_time": found.newest_us,
        }
        if rng.random() < unusual:
            payment |= {
                "amount_minor": payment["amount_minor"] * 30 + 50_000,
                "billing_amount_minor": None,
                "billing_currency": None,
                "entry_mode": "ecommerce",
                "authentication": "none",
                "merchant_country": "US" if payment.get("card_country") != "US" else "BR",
            }
        yield payment


def bodies(payments: Iterator[Payment]) -> Iterator[bytes]:
    """Yield each payment as the JSON body that an integrator sends: no nulls, the time in ISO 8601."""
    for payment in payments:
        body = {name: value for name, value in payment.items() if value is not None}
        moment = datetime.fromtimestamp(payment["event_time"] / 1e6, UTC)
        yield orjson.dumps(body | {"event_time": moment})


def to_send(found: Sample, count: int, seed: int = 0) -> list[Payment]:
    """Return `count` payments for Kafka: shapes and amounts of the sample, the bench's own cards and acceptors."""
    rng = random.Random(seed)  # noqa: S311 - not a secret
    run = os.urandom(4).hex()
    # Cards of each run's own: all runs are of one minute, and payments of many on one card would look like an attack.
    cards = [hashlib.sha256(f"{SOURCE} {run} card {n}".encode()).hexdigest() for n in range(CARDS)]
    return [
        rng.choice(found.payments)
        | {
            "source": SOURCE,
            "transaction_id": f"{run}-{number}",
            "event_time": found.newest_us - SPAN_US + SPAN_US * number // count,
            "card_id": rng.choice(cards),
            "merchant_id": f"{SOURCE}-{rng.randrange(ACCEPTORS)}",
            "terminal_id": None,
        }
        for number in range(count)
    ]
