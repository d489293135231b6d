"""Brings a record as its sender wrote it into the contract's form, before it is judged; the same for every door.

Padding is taken off texts. A symbol that an enum does not have yet is `unknown`. An optional field that cannot be read
is absent, for a payment that nobody judges is worse than one judged without its country. What was taken away stands in
`extra` under the field's name, so that it is counted and not lost.
"""

import re
from collections.abc import Container, Mapping
from functools import cache
from typing import Any

import pycountry

from contracts import schemas
from currencies import IN_USE, was_money
from errors import CARD_LIKE

DAY_US = 86_400_000_000
LONGEST_ID = 64
LONGEST_WORD = 64
UNKNOWN = "unknown"
PADDING = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u3000\ufeff"
"""Blanks and control characters, with which devices fill fields of a fixed length (DE41, DE42)."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ud800-\udfff]").search
"""Characters that nobody sees, and that PostgreSQL, logs and people cannot tell apart."""
COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)
VOCABULARIES: Mapping[str, Container[str]] = {
    "currency": IN_USE,
    "billing_currency": IN_USE,
    "mcc": frozenset(f"{code:04}" for code in range(10_000)),
    "merchant_country": COUNTRIES,
    "card_country": COUNTRIES,
}
"""Field of a payment to the words that it may have on any day."""
ACCEPTOR = ("merchant_id", "terminal_id")
IDS = {
    "transaction": ("source", "transaction_id", *ACCEPTOR),
    "label": ("source", "transaction_id"),
    "decision": (),
}
OFFSET_MIN = 14 * 60

Record = dict[str, Any]


def clean(record: Record, name: str) -> Record:
    """Clean a record of our schema `name` in place, and return it; fields that it lacks stay away."""
    get = record.get
    for field, words in _words(name):
        value = get(field)
        if value is not None and not (type(value) is str and value in words):
            _mend(record, field, name)
    for field in IDS[name]:
        value = get(field)
        if type(value) is str and value and (value[0] in PADDING or value[-1] in PADDING):
            record[field] = value.strip(PADDING)
    if name == "transaction":
        _optional(record)
    return record


@cache
def _words(name: str) -> tuple[tuple[str, Container[str]], ...]:
    """Return each field of our schema `name` with a vocabulary, and the words of it that need no second look."""
    texts = VOCABULARIES if name == "transaction" else {}
    return (*texts.items(), *((field, known) for field, known in symbols(name).items() if UNKNOWN in known))


def _mend(record: Record, field: str, name: str) -> None:
    """Clean a field that does not have one of its words as it stands."""
    value = record[field]
    if known := symbols(name).get(field):
        if not (isinstance(value, str) and value in known):
            _take(record, field, UNKNOWN)
        return
    if isinstance(value, str):
        value = record[field] = value.strip(PADDING)
    if field == "billing_currency":
        time = record.get("event_time")
        readable = isinstance(value, str) and type(time) is int and was_money(value, time // DAY_US)
    else:
        readable = field == "currency" or (isinstance(value, str) and value in VOCABULARIES[field])
    if not readable:
        _take(record, field)


@cache
def symbols(name: str) -> dict[str, frozenset[str]]:
    """Return the symbols of each enum field of our schema `name`."""
    found = {}
    for field in schemas.parsed(name)["fields"]:
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for kind in kinds:
            if isinstance(kind, dict) and kind["type"] == "enum":
                found[field["name"]] = frozenset(kind["symbols"])
    return found


def absent(record: Mapping[str, Any], name: str) -> list[str]:
    """Return the fields of our schema `name` that cleaning took from a record."""
    extra = record.get("extra")
    return [field for field in extra if field in schemas.defaults(name)] if extra else []


def _optional(record: Record) -> None:
    get = record.get
    for field in ACCEPTOR:
        value = get(field)
        if value is not None and not (type(value) is str and 0 < len(value) <= LONGEST_ID):
            _take(record, field)
    minutes = get("utc_offset_min")
    if minutes is not None and not (type(minutes) is int and -OFFSET_MIN <= minutes <= OFFSET_MIN):
        _take(record, "utc_offset_min")
    billed = get("billing_amount_minor")
    if billed is not None and type(billed) is not int:
        _take(record, "billing_amount_minor")
    latitude, longitude = get("latitude"), get("longitude")
    if (latitude is not None or longitude is not None) and not _is_fix(latitude, longitude):
        _take(record, "latitude")
        _take(record, "longitude")


def _take(record: Record, field: str, instead: str | None = None) -> None:
    """Put `instead` in a field's place, and its value into `extra`: what may be a card number masked, then cut."""
    if (value := record.get(field)) is not None:
        kept = value if type(value) in (int, float, bool) else CARD_LIKE.sub("<digits>", str(value))[:LONGEST_WORD]
        record.setdefault("extra", {})[field] = kept
    record[field] = instead


def _is_fix(latitude: object, longitude: object) -> bool:
    """Tell whether two coordinates are a place; 0, 0 is what a receiver without a fix says."""
    if type(latitude) not in (float, int) or type(longitude) not in (float, int):
        return False
    # A NaN fails here too.
    return -90 <= latitude <= 90 and -180 <= longitude <= 180 and not (latitude == 0 == longitude)  # type: ignore[operator]
