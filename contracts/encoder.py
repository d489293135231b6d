"""Compiles one of our Avro record schemas into a fast encoder; what it cannot encode is left to fastavro to explain."""

import struct
from collections.abc import Callable, Mapping
from operator import call, itemgetter
from typing import Any

Encode = Callable[[Any], bytes]
DOUBLE = struct.Struct("<d")
LONG = 1 << 63
INT = 1 << 31
NULL = b"\x00"
PRESENT = b"\x02"
REMEMBERED = 20_000
"""Texts an encoder remembers: cards, merchants, codes come again and again."""
ALWAYS_NEW = frozenset({"transaction_id"})
"""Texts that hardly ever come again: remembering them would cost more than it saves."""
FIT = (KeyError, TypeError, ValueError, AttributeError, struct.error)
"""What an encoder raises for a value that does not fit its type."""


def compile_schema(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes] | None:
    """Return a function from a record to its Avro bytes, or None if the schema uses a type that is not ours.

    The function raises one of FIT for a record that does not fit. Bytes are those of fastavro: a property test holds.
    It is about five times as fast, for fastavro tries the branches of each of our fifteen unions one after another.
    """
    fields = schema["fields"]
    found = [_string if f["name"] in ALWAYS_NEW and f["type"] == "string" else _encoder(f["type"]) for f in fields]
    parts = [part for part in found if part]
    if len(parts) < max(2, len(fields)):
        return None
    apply: Callable[[Encode, Any], bytes] = call
    defaults = {field["name"]: field.get("default") for field in fields}
    values, join = itemgetter(*defaults), b"".join

    def encode(record: Mapping[str, Any]) -> bytes:
        try:
            return join(map(apply, parts, values(record)))  # no Python between one field and the next
        except KeyError:  # a field is left out, or a symbol is unknown: then this fails again
            return join(map(apply, parts, values({**defaults, **record})))

    return encode


def varint(number: int) -> bytes:
    """Return the zigzag variable-length form of a 64-bit integer."""
    z = (number << 1) ^ (number >> 63)
    if z < 0x80:
        return SMALL[z]
    if z < 0x4000:
        return bytes((z & 0x7F | 0x80, z >> 7))
    if 0x2000000000000 <= z < 0x100000000000000:  # eight bytes: microseconds of our times
        return bytes((z & 0x7F | 0x80, z >> 7 & 0x7F | 0x80, z >> 14 & 0x7F | 0x80, z >> 21 & 0x7F | 0x80,
                      z >> 28 & 0x7F | 0x80, z >> 35 & 0x7F | 0x80, z >> 42 & 0x7F | 0x80, z >> 49))  # fmt: skip
    out = bytearray()
    while z > 0x7F:
        out.append(z & 0x7F | 0x80)
        z >>= 7
    out.append(z)
    return bytes(out)


SMALL = [bytes([number]) for number in range(0x80)]


class Texts(dict[str | None, bytes]):
    """Texts to their encoded form, made when first asked for; a lookup costs no Python call."""

    def __init__(self, prefix: bytes, always: Mapping[str | None, bytes]) -> None:
        """Begin with what is `always` known; others are encoded after `prefix`."""
        super().__init__(always)
        self.prefix, self.always = prefix, always

    def __missing__(self, value: str | None) -> bytes:
        """Encode and remember; AttributeError for what is not text."""
        raw = value.encode()  # type: ignore[union-attr]  # None fails here as intended
        encoded = self.prefix + varint(len(raw)) + raw
        if len(self) >= REMEMBERED:
            self.clear()
            self.update(self.always)
        self[value] = encoded
        return encoded


def _encoder(kind: Any) -> Encode | None:
    if isinstance(kind, list):
        return _nullable(kind[1]) if len(kind) == 2 and kind[0] == "null" else None
    if isinstance(kind, dict) and kind["type"] == "enum":
        return {symbol: varint(place) for place, symbol in enumerate(kind["symbols"])}.__getitem__
    name = kind["type"] if isinstance(kind, dict) else kind
    if name == "string":
        return Texts(b"", {}).__getitem__
    plain: dict[str, Encode] = {"long": _whole(LONG), "int": _whole(INT), "double": DOUBLE.pack}
    return plain.get(name)


def _string(value: str) -> bytes:
    raw = value.encode()
    return varint(len(raw)) + raw


def _nullable(kind: Any) -> Encode | None:
    inner = _encoder(kind)
    if inner is None:
        return None
    if isinstance(kind, dict) and kind["type"] == "enum":
        return {None: NULL, **{symbol: PRESENT + inner(symbol) for symbol in kind["symbols"]}}.__getitem__
    if kind == "string":
        return Texts(PRESENT, {None: NULL}).__getitem__

    def encode(value: Any) -> bytes:
        return NULL if value is None else PRESENT + inner(value)

    return encode


def _whole(bound: int) -> Encode:
    def encode(value: int) -> bytes:
        if value.__class__ is not int or not -bound <= value < bound:
            raise ValueError(value)
        return varint(value)

    return encode
