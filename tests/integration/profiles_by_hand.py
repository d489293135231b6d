"""Profiles and card risk as domain.md says them, payment by payment in plain Python: slow, and easy to believe."""

import math
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from settings import definitions

Row = dict[str, Any]
DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


class Ledger:
    """Silver's payments and label events, asked for one entity and one day at a time."""

    def __init__(self, payments: list[Row], label_events: list[Row]) -> None:
        self.payments = payments
        self.cards: dict[str, list[Row]] = defaultdict(list)
        self.acceptors: dict[str, list[Row]] = defaultdict(list)
        self.labels: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for payment in payments:
            self.cards[payment["card_id"]].append(payment)
            if payment["acceptor_id"]:
                self.acceptors[payment["acceptor_id"]].append(payment)
        for event in label_events:
            self.labels[event["source"], event["transaction_id"]].append(event)
        self.definitions = definitions()
        latest = max(p["event_time"] for p in payments)
        self.horizon = (latest - timedelta(hours=self.definitions.publish_delay_hours)).date()

    def days(self, payments: list[Row], seen_days: int) -> set[date]:
        """Return the days on which an entity has a row: those after a payment, as long as it counts as seen."""
        found = {p["event_day"] + n * DAY for p in payments for n in range(1, seen_days + 1)}
        return {day for day in found if day <= self.horizon}

    def verdict(self, payment: Row, before: datetime) -> str | None:
        """Return the verdict known before a moment: the latest, at equal time an analyst's over a file's."""
        known = [e for e in self.labels[payment["source"], payment["transaction_id"]] if e["known_at"] < before]
        if not known:
            return None
        rank = {"analyst": 2, "file": 0}
        return max(
            known,
            key=lambda e: (
                e["known_at"],
                rank.get(e["origin"], 1),
                e["ingested_at"],
                e["source_partition"],
                e["source_offset"],
            ),
        )["verdict"]

    def card(self, card_id: str, day: date) -> list[float | None]:
        """Return the values of features.CARD_COLUMNS."""
        mine = self.cards[card_id]

        def window(days: int) -> list[Row]:
            return [p for p in mine if p["is_attempt"] and day - days * DAY <= p["event_day"] < day]

        def priced(days: int) -> list[float]:
            return [
                p["amount"] for p in window(days) if p["amount"] is not None and p["message_type"] != "verification"
            ]

        def mean(values: list[float]) -> float | None:
            return math.fsum(values) / len(values) if values else None

        month = priced(30)
        spread = None
        if len(month) >= 3:
            centre = mean(month) or 0.0
            spread = math.sqrt(math.fsum((v - centre) ** 2 for v in month) / (len(month) - 1))
        nights = [p for p in window(30) if p["amount"] is not None and p["message_type"] != "verification"]
        return [
            *(float(len(window(w))) for w in (1, 7, 30)),
            *(mean(priced(w)) for w in (1, 7, 30)),
            spread,
            max(month, default=None),
            float(len({p["event_day"] for p in window(30)})),
            mean([float(p["is_night"]) for p in nights]),
            float(len({p["acceptor_id"] for p in window(30)} - {None})),
            float((day - min(p["event_day"] for p in mine)).days),
        ]

    def acceptor(self, acceptor_id: str, day: date) -> list[float | None]:
        """Return the values of features.ACCEPTOR_COLUMNS."""
        delay = self.definitions.label_delay_days
        mine = self.acceptors[acceptor_id]

        def window(payments: list[Row], first: int, last: int) -> list[Row]:
            return [p for p in payments if p["is_attempt"] and day - first * DAY <= p["event_day"] < day - last * DAY]

        def risk(payments: list[Row]) -> float:
            frauds = sum(self.verdict(p, midnight(day)) == "fraud" for p in payments)
            weight, prior = self.definitions.prior_weight, self.definitions.fraud_prior
            return (frauds + weight * prior) / (len(payments) + weight)

        month = len(window(mine, 30, 0))
        seen = day - (delay + 33) * DAY
        named = [p for p in mine if seen <= p["event_day"] < day and p["mcc"]]
        mcc = max(named, key=lambda p: (p["event_time"], p["transaction_id"]))["mcc"] if named else None
        category = [p for p in self.payments if p["mcc"] == mcc]
        return [
            *(float(len(window(mine, delay + w, delay))) for w in (1, 7, 30)),
            *(risk(window(mine, delay + w, delay)) for w in (1, 7, 30)),
            len(window(mine, 1, 0)) / (month / 30) if month else None,
            risk(window(category, delay + 30, delay)) if mcc else None,
        ]

    def card_risk(self, card_id: str, day: date) -> list[float]:
        """Return payments, amount, known frauds in 7 and 30 days, unreported amount, amount at risk of one day."""
        end = midnight(day + DAY)
        mine = self.cards[card_id]

        def window(days: int) -> list[Row]:
            return [p for p in mine if p["is_attempt"] and day - days * DAY < p["event_day"] <= day]

        def frauds(days: int) -> int:
            return sum(self.verdict(p, end) == "fraud" for p in window(days))

        unreported = math.fsum(p["amount"] or 0 for p in window(30) if self.verdict(p, end) is None)
        today = [p for p in mine if p["event_day"] == day]
        paid = math.fsum(p["amount"] or 0 for p in today if p["is_attempt"])
        return [len(today), paid, frauds(7), frauds(30), unreported, unreported if frauds(30) else 0.0]
