"""From a disposition to label events (contracts/label.avsc): one for each payment that it judges fraud or genuine."""

from collections.abc import Mapping, Sequence
from typing import Any

from epoch import to_us

Label = dict[str, Any]


def of(disposition: Mapping[str, Any]) -> Sequence[Label]:
    """Return the labels of a row of `dispositions`; the same row always gives the same labels, so a repeat is known."""
    if disposition["verdict"] == "unsure":
        return []
    known_at = to_us(disposition["known_at"])
    return [
        {
            "source": payment["source"],
            "transaction_id": payment["transaction_id"],
            "verdict": disposition["verdict"],
            "known_at": known_at,
            "origin": "analyst",
            "by": disposition["by"],
            "note": disposition["note"],
        }
        for payment in disposition["payments"]
    ]


def key(label: Label) -> bytes:
    """Return the key of a label on Kafka: its payment's, so that its history keeps its order."""
    return f"{label['source']}:{label['transaction_id']}".encode()
