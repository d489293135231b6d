"""A good decision as a record, for tests that send, judge, land or search one."""

import time
from typing import Any

from contracts import schemas, wire

CARD = "ab" * 32


def payment(**changes: Any) -> bytes:
    """Return a framed payment, as a decision carries it; its schema's id is 1."""
    made = {
        "source": "test",
        "transaction_id": "t1",
        "event_time": time.time_ns() // 1000,
        "card_id": CARD,
        "amount_minor": 1250,
        "currency": "EUR",
    }
    return wire.encode(made | changes, schemas.parsed("transaction"), 1)


def decision(**changes: Any) -> dict[str, Any]:
    """Return a decision made just now, with bytes in it of every value."""
    now_us = time.time_ns() // 1000
    made = {
        "source": "test",
        "transaction_id": "t1",
        "card_id": CARD,
        "event_time": now_us,
        "payment_partition": 0,
        "payment_offset": 0,
        "decided_at": now_us,
        "decision": "review",
        "decided_by": "model",
        "score": 0.75,
        "groups": "{}",
        "reasons": "[]",
        "vector": bytes(range(256)),
        "features": "{}",
        "schema_hash": "cd" * 32,
        "scores": "[]",
        "stages_us": "{}",
        "runtime": "test",
        "payment": payment(),
    }
    return schemas.defaults("decision") | made | changes
