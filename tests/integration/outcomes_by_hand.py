"""What decisions came to, decision by decision in plain Python: slow, and easy to believe."""

import json
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from features import MCC_GROUPS
from tests.integration.profiles_by_hand import Ledger, Row, midnight

DAY = timedelta(days=1)
KEYS = ("source", "event_day", "country", "channel", "mcc_group", "card_age", "amount_band")
GROUPS = (
    "agricultural",
    "contracted",
    "airlines",
    "car_rental",
    "lodging",
    "transport",
    "utilities",
    "retail",
    "clothing",
    "miscellaneous_stores",
    "business",
    "professional",
    "government",
)
BANDS = ((10, "under_10"), (50, "10_to_50"), (200, "50_to_200"), (1000, "200_to_1000"))
AGES = ((30, "under_30_days"), (180, "under_180_days"))


def band(value: float | None, bounds: tuple[tuple[int, str], ...], last: str) -> str:
    """Return the name of the band that a value lies in."""
    if value is None:
        return "unknown"
    return next((name for bound, name in bounds if value < bound), last)


class Outcomes:
    """Silver's payments and label events with Bronze's decisions, asked for everything at once."""

    def __init__(self, ledger: Ledger, decisions: list[Row]) -> None:
        self.verdicts = {self.key(p): ledger.verdict(p, midnight(date.max - DAY)) for p in ledger.payments}
        clock = max(p["event_time"] for p in ledger.payments)
        self.first_open_day = (clock - ledger.definitions.maturity_days * DAY).date()
        firsts: dict[tuple[int, int], Row] = {}
        for row in sorted(decisions, key=lambda d: (d["ingested_at"], d["source_partition"], d["source_offset"])):
            firsts.setdefault((row["payment_partition"], row["payment_offset"]), row)
        self.decided = [
            (payment, decision)
            for payment in ledger.payments
            if (decision := firsts.get((payment["source_partition"], payment["source_offset"])))
        ]
        self.delays = self.episodes()

    @staticmethod
    def key(payment: Row) -> tuple[str, str]:
        """Return what identifies a payment."""
        return payment["source"], payment["transaction_id"]

    def outcome(self, payment: Row, decision: Row) -> str:
        """Return fraud, genuine, open, or unknown for a block that nobody spoke of."""
        known = self.verdicts[self.key(payment)]
        if known or decision["decision"] == "block":
            return known or "unknown"
        return "genuine" if payment["event_day"] < self.first_open_day else "open"

    def episodes(self) -> dict[tuple[str, str], float | None]:
        """Return each payment that begins an episode, and the seconds to the first fraud not approved."""
        by_card: dict[tuple[str, str], list[tuple[Row, Row]]] = defaultdict(list)
        for payment, decision in self.decided:
            if self.verdicts[self.key(payment)] == "fraud":
                by_card[payment["source"], payment["card_id"]].append((payment, decision))
        found: dict[tuple[str, str], float | None] = {}
        for frauds in by_card.values():
            frauds.sort(key=lambda pair: (pair[0]["event_time"], pair[0]["transaction_id"]))
            for number, (payment, _) in enumerate(frauds):
                start = payment["event_time"]
                if number and start - frauds[number - 1][0]["event_time"] < DAY:
                    continue
                delays = [
                    (p["event_time"] - start).total_seconds()
                    for p, d in frauds
                    if d["decision"] != "approve" and start <= p["event_time"] < start + DAY
                ]
                found[self.key(payment)] = min(delays, default=None)
        return found

    def rows(self) -> dict[tuple[Any, ...], Row]:
        """Return every row by its key."""
        cells: dict[tuple[Any, ...], list[tuple[Row, Row]]] = defaultdict(list)
        for payment, decision in self.decided:
            cells[self.cell(payment, decision)].append((payment, decision))
        return {key: self.row(key[1] < self.first_open_day, pairs) for key, pairs in cells.items()}

    @staticmethod
    def cell(payment: Row, decision: Row) -> tuple[Any, ...]:
        """Return the segment that a decided payment belongs to."""
        present = {True: "card_present", False: "card_not_present", None: "unknown"}[payment["card_present"]]
        mcc = payment["mcc"]
        group = GROUPS[sum(first <= int(mcc) for first in MCC_GROUPS)] if mcc else "unknown"
        days = json.loads(decision["features"])["card_days_since_first_seen"]
        age = "new" if json.loads(decision["groups"])["card"]["status"] == "new" else band(days, AGES, "older")
        return (
            payment["source"],
            payment["event_day"],
            payment["merchant_country"] or "unknown",
            present,
            group,
            age,
            band(payment["amount"], BANDS, "1000_or_more"),
        )

    def row(self, is_mature: bool, pairs: list[tuple[Row, Row]]) -> Row:
        """Return the measures of one segment's payments and decisions."""

        def count(outcome: str, approved: bool | None = None) -> int:
            return sum(
                self.outcome(p, d) == outcome and approved in (None, d["decision"] == "approve") for p, d in pairs
            )

        def money(chosen: list[Row]) -> float:
            return sum(round((p["amount"] or 0) * 10_000) for p in chosen) / 10_000

        actions = [d["decision"] for _, d in pairs]
        passed = [p for p, d in pairs if d["decision"] == "approve"]
        lost = money([p for p, d in pairs if d["decision"] == "approve" and self.outcome(p, d) == "fraud"])
        wronged = [p for p, d in pairs if d["decision"] != "approve" and self.outcome(p, d) == "genuine"]
        hurt = {p["card_id"] for p, d in pairs if d["decision"] != "approve" and self.outcome(p, d) == "genuine"}
        begun = [self.delays[self.key(p)] for p, _ in pairs if self.key(p) in self.delays]
        seen = [delay for delay in begun if delay is not None]
        caught, wrong = count("fraud", approved=False), count("genuine", approved=False)
        return {
            "is_mature": is_mature,
            "payments": len(pairs),
            "approved": len(passed),
            "alerts": len(pairs) - len(passed),
            "reviews": actions.count("review"),
            "step_ups": actions.count("step_up"),
            "blocks": actions.count("block"),
            **{
                f"by_{name}": sum(d["decided_by"] == name for _, d in pairs)
                for name in ("model", "rule", "fallback", "control")
            },
            "approval_rate": len(passed) / len(pairs),
            "amount": money([p for p, _ in pairs]),
            "approved_amount": money(passed),
            "open_payments": count("open"),
            "open_alerts": count("open", approved=False),
            "unknown_blocks": count("unknown"),
            "genuine": count("genuine"),
            "false_positives": wrong,
            "good_customers_hurt": len(hurt),
            "frauds": count("fraud"),
            "frauds_alerted": caught,
            "frauds_missed": count("fraud", approved=True),
            "loss": lost,
            "false_positive_amount": money(wronged),
            "episodes": len(begun),
            "episodes_detected": len(seen),
            "detection_seconds": sum(seen),
            "false_positives_per_fraud": wrong / caught if is_mature and caught else None,
            "loss_bp": lost * 10_000 / money(passed) if is_mature and money(passed) else None,
            "mean_detection_seconds": sum(seen) / len(seen) if is_mature and seen else None,
        }
