"""Mixes bad records into a stream of payments, as a share of all, each kind in turn."""

from collections import Counter
from typing import Any

from contracts.topics import TRANSACTIONS
from ingestion.producer import Sender
from ingestion.simulator import bad_records

Record = dict[str, Any]
OVERSIZED_EVERY = 10
"""Rounds of all kinds to one megabyte record: a share of them by weight would flood a small broker."""
SCATTER = 7919
"""A prime: steps through a batch without a pattern and without another random stream."""


class Injector:
    """Sends bad records made from payments that were sent just before, past the producer's own checks."""

    def __init__(self, sender: Sender, share: float) -> None:
        """Register the careless producer's schema if any bad record is wanted."""
        self.sender, self.share = sender, share
        self.sent: Counter[str] = Counter()
        self.maker = bad_records.maker(sender.ids[TRANSACTIONS.name]) if share else None
        self._due = 0.0

    def inject(self, payments: list[Record]) -> None:
        """Send the bad records that are due after `payments`."""
        if not self.maker or not payments:
            return
        self._due += len(payments) * self.share / (1 - self.share)
        names = list(bad_records.KINDS)
        while self._due >= 1:
            self._due -= 1
            number = self.sent.total()
            record, name = payments[number * SCATTER % len(payments)], names[number % len(names)]
            if name == "oversized" and number // len(names) % OVERSIZED_EVERY:
                name = names[0]
            value = bad_records.KINDS[name].make(self.maker, record)
            self.sender.raw(TRANSACTIONS.name, str(record["card_id"]).encode(), value)
            self.sent[name] += 1

    def expected_letters(self) -> dict[str, int]:
        """Return how many dead letters by code the bad records must become."""
        found: Counter[str] = Counter()
        for name, count in self.sent.items():
            if code := bad_records.KINDS[name].code:
                found[code] += count
        return dict(sorted(found.items()))
