"""Bad records of every kind, as the bytes that other people's producers would send past our checks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clients import registry
from contracts import schemas, wire
from contracts.topics import TRANSACTIONS
from contracts.validation import LARGEST
from features import DAY_US

Record = dict[str, Any]
FOREIGN_SUBJECT = "simulator.foreign-value"
UNKNOWN_SCHEMA = 0x7FFFFFF0
MEGABYTE = 1_000_000
LOOSE = {
    "event_time": ["null", "long", "string"],
    "card_id": ["null", "string"],
    "amount_minor": ["null", "long", "string"],
    "entry_mode": ["null", "string"],
}
"""What a careless producer's schema allows; it is registered under a subject of its own, as theirs would be."""


@dataclass(frozen=True)
class Kind:
    """One kind of bad record: the dead letter's code it must get (None: it must reach Bronze), and how it is made."""

    code: str | None
    make: Callable[["Maker", Record], bytes]


@dataclass(frozen=True)
class Maker:
    """Ids and schemas under which bad bytes are framed."""

    schema_id: int
    foreign_id: int
    foreign: schemas.Schema

    def good(self, record: Record, **changes: Any) -> bytes:
        """Frame `record` with `changes` under our own schema, unchecked."""
        return wire.encode(record | changes, schemas.parsed("transaction"), self.schema_id)

    def loose(self, record: Record, **changes: Any) -> bytes:
        """Frame it under the careless producer's schema."""
        return wire.encode(record | changes, self.foreign, self.foreign_id)


def maker(schema_id: int) -> Maker:
    """Register the careless producer's schema and return what makes bad records."""
    text = foreign()
    return Maker(schema_id, registry.register_text(FOREIGN_SUBJECT, text), schemas.parse(text))


def foreign() -> str:
    """Return the careless producer's schema as JSON text."""
    schema = json.loads(schemas.text("transaction"))
    for field in schema["fields"]:
        if field["name"] in LOOSE:
            field |= {"type": LOOSE[field["name"]], "default": None}
    return json.dumps(schema)


KINDS: dict[str, Kind] = {
    "truncated": Kind("truncated", lambda m, r: m.good(r)[:60]),
    "wrong_magic_byte": Kind("bad_magic_byte", lambda m, r: b"\x01" + m.good(r)[1:]),
    "unknown_schema_id": Kind(
        "unknown_schema_id", lambda m, r: b"\x00" + UNKNOWN_SCHEMA.to_bytes(4, "big") + m.good(r)[5:]
    ),
    "foreign_schema": Kind("unknown_schema_id", lambda m, r: m.loose(r, entry_mode="telepathy")),
    "control_character": Kind("control_character", lambda m, r: m.good(r, merchant_id="M\0 1")),
    "no_currency": Kind("unknown_currency", lambda m, r: m.good(r, currency="XXQ")),
    "negative_amount": Kind("negative_amount", lambda m, r: m.good(r, amount_minor=-r["amount_minor"] - 1)),
    "absurd_amount": Kind("absurd_amount", lambda m, r: m.good(r, amount_minor=LARGEST[r["currency"]] * 10)),
    "future_clock": Kind("future_time", lambda m, r: m.good(r, event_time=r["event_time"] + 3_660 * DAY_US)),
    "card_not_hashed": Kind("card_not_hashed", lambda m, r: m.good(r, card_id="not-a-hash")),
    "oversized": Kind("oversized", lambda m, r: m.good(r, merchant_id="x" * MEGABYTE)),
    "exact_repeat": Kind(None, lambda m, r: m.good(r)),
    "same_id_other_content": Kind(None, lambda m, r: m.good(r, amount_minor=r["amount_minor"] + 100)),
    "two_days_late": Kind(
        None,
        lambda m, r: m.good(r, event_time=r["event_time"] - 2 * DAY_US, transaction_id=f"{r['transaction_id']}-late"),
    ),
}
TOPIC = TRANSACTIONS.name
