"""From a decision record to the row that PostgreSQL keeps of it: what a timeline and statistics need, no more."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import features
from contracts import wire
from contracts.wire import Writer

COLUMNS = (
    "payment_partition",
    "payment_offset",
    "source",
    "transaction_id",
    "card_id",
    "event_time",
    "decided_at",
    "action",
    "decided_by",
    "score",
    "threshold",
    "amount",
    "amount_minor",
    "currency",
    "acceptor",
    "mcc",
    "country",
    "entry_mode",
    "latitude",
    "longitude",
    "degraded",
    "model_version",
    "reasons",
)
Row = tuple[Any, ...]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row(decision: Mapping[str, Any], writer: Writer) -> Row:
    """Return the values of COLUMNS; RejectedError if the payment in the record cannot be read."""
    _, payment = wire.decode(decision["payment"], writer, "transaction")
    amount = features.amount(payment)
    return (
        decision["payment_partition"],
        decision["payment_offset"],
        decision["source"],
        decision["transaction_id"],
        decision["card_id"],
        _time(decision["event_time"]),
        _time(decision["decided_at"]),
        decision["decision"],
        decision["decided_by"],
        decision["score"],
        decision["threshold"],
        amount if isfinite(amount) else None,
        payment["amount_minor"],
        payment["currency"],
        features.acceptor_id(payment),
        payment["mcc"],
        payment["merchant_country"],
        payment["entry_mode"],
        payment["latitude"],
        payment["longitude"],
        decision["degraded"] is not None,
        decision["model_version"],
        decision["reasons"],
    )


def _time(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
