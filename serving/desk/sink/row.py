"""From a decision record to the row that PostgreSQL keeps of it: what a timeline and statistics need, no more."""

from collections.abc import Mapping
from typing import Any, LiteralString

import features
from contracts import wire
from contracts.validation import check_decision, check_transaction
from contracts.wire import Writer
from epoch import from_us
from serving.desk import money

NAMES: LiteralString = """decision_id, source, transaction_id, card_id, event_time, decided_at, origin, action,
    decided_by, score, threshold, amount, amount_minor, currency, acceptor, mcc, country, entry_mode, latitude,
    longitude, degraded, model_version, reasons"""
COLUMNS = tuple(name.strip() for name in NAMES.split(","))
Row = dict[str, Any]
"""A value for each of COLUMNS."""


def row(decision: Mapping[str, Any], writer: Writer, now_us: int) -> Row:
    """Return the row of a decision; RejectedError if it, or the payment in it, breaks the contract at `now_us`."""
    check_decision(decision, now_us)
    _, payment = wire.decode(decision["payment"], writer, "transaction")
    check_transaction(payment, now_us)
    kept = ("source", "transaction_id", "card_id", "decided_by", "score", "threshold", "model_version", "reasons")
    paid = ("amount_minor", "currency", "mcc", "entry_mode", "latitude", "longitude")
    return (
        {name: decision[name] for name in kept}
        | {name: payment[name] for name in paid}
        | {
            "decision_id": _decision_id(decision),
            "event_time": from_us(decision["event_time"]),
            "decided_at": from_us(decision["decided_at"]),
            "origin": decision.get("origin") or "stream",
            "action": decision["decision"],
            "amount": money.exact(features.amount(payment)),
            "acceptor": features.acceptor_id(payment),
            "country": payment["merchant_country"],
            "degraded": decision["degraded"] is not None,
        }
    )


def _decision_id(decision: Mapping[str, Any]) -> str:
    return decision.get("decision_id") or f"{decision['payment_partition']}:{decision['payment_offset']}"
