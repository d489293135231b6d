"""Which alert a payment that was not approved belongs to: its card's, for 24 hours from the alert's first payment."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SPAN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A payment that was not approved, under its decision's id."""

    decision_id: str
    card_id: str
    event_time: datetime


@dataclass(slots=True)
class Case:
    """An alert as far as joining goes; without an id it is a new one."""

    card_id: str
    opened_at: datetime
    alert_id: int | None = None
    joined: list[Suspect] = field(default_factory=list)


def join(known: Iterable[Case], arrived: Sequence[Suspect]) -> list[Case]:
    """Return the cases that `arrived` touches, each with the payments that joined it; in order of arrival.

    A payment joins its card's newest alert that was opened less than 24 hours from it, either way: a late one belongs
    to the alert that it should have begun.
    """
    by_card: dict[str, list[Case]] = {}
    for case in sorted(known, key=lambda case: case.opened_at):
        by_card.setdefault(case.card_id, []).append(case)
    touched: dict[int, Case] = {}
    for payment in arrived:
        cases = by_card.setdefault(payment.card_id, [])
        near = [case for case in cases if abs(payment.event_time - case.opened_at) < SPAN]
        if near:
            case = near[-1]
        else:
            case = Case(payment.card_id, payment.event_time)
            cases.append(case)
            cases.sort(key=lambda case: case.opened_at)
        case.joined.append(payment)
        touched[id(case)] = case
    return list(touched.values())
