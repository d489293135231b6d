"""What becomes of a good payment by when it arrived: decided or set aside by rule, and its moment in its card's window.

The arrival is Kafka's own stamp (LogAppendTime, topics.ARRIVAL_STAMP), the same for every reader at any time.
"""

from collections.abc import Mapping
from typing import Any

from features import HOUR_US, NOT_ATTEMPTS, Event, observation

HISTORY_US = 48 * HOUR_US
"""Payments that were this much behind the clock when they arrived are observed, not decided."""
HISTORY = "history"


def set_aside(payment: Mapping[str, Any], arrived_us: int) -> str | None:
    """Return by which rule nobody decides about a payment (history, refund, reversal), or None: it is decided."""
    if arrived_us - payment["event_time"] > HISTORY_US:
        return HISTORY
    kind: str = payment["message_type"]
    return kind if kind in NOT_ATTEMPTS else None


def set_aside_sql(event_us: str, arrived_us: str, message_type: str) -> str:
    """Return `set_aside` as an expression of SQL over three others; times in microseconds."""
    kinds = ", ".join(f"'{kind}'" for kind in sorted(NOT_ATTEMPTS))
    return (
        f"case when {arrived_us} - {event_us} > {HISTORY_US} then '{HISTORY}' "
        f"when {message_type} in ({kinds}) then {message_type} end"
    )


def observed(payment: Mapping[str, Any], arrived_us: int) -> Event:
    """Return a payment as its card's window takes it: at its event_time, or at its arrival where its clock ran ahead.

    Nobody paid after the payment arrived. Observed at a later time it would be the card's newest, and make those of
    right clocks too late until they had caught up with it.
    """
    event = observation(payment)
    return event if event.time_us <= arrived_us else event._replace(time_us=arrived_us)
