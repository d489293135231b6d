"""Compiles one of our Avro record schemas into a fast encoder; what it cannot encode is left to fastavro to explain."""

import struct
from collections.abc import Callable, Mapping
from typing import Any

Encode = Callable[[Any], bytes]
DOUBLE = struct.Struct("<d")
LONG = 1 << 63
INT = 1 << 31
NULL = b"\x00"
PRESENT = b"\x02"
FIT = (KeyError, TypeError, ValueError, AttributeError, struct.error)
"""What an encoder raises for a value that does not fit its type."""


def compile_schema(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes] | None:
    """Return a function from a record to its Avro bytes, or None if the schema uses a type that is not ours.

    The function raises one of FIT for a record that does not fit. Bytes are those of fastavro: a property test holds.
    Four times as fast as fastavro here, which tries the branches of each of our fifteen unions one after another.
    """
    encoders = [_encoder(field["type"]) for field in schema["fields"]]
    if None in encoders:
        return None
    plan = [(f["name"], f.get("default"), e) for f, e in zip(schema["fields"], encoders, strict=True) if e]

    def encode(record: Mapping[str, Any]) -> bytes:
        get = record.get
        return b"".join([part(get(name, default)) for name, default, part in plan])

    return encode


def varint(number: int) -> bytes:
    """Return the zigzag variable-length form of a 64-bit integer."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 0x80:
        return SMALL[rest]
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


SMALL = [bytes([number]) for number in range(0x80)]


def _encoder(kind: Any) -> Encode | None:  # noqa: ANN401 - a node of the schema
    if isinstance(kind, list):
        inner = _encoder(kind[1]) if len(kind) == 2 and kind[0] == "null" else None
        return _nullable(kind[1], inner) if inner else None
    if isinstance(kind, dict) and kind["type"] == "enum":
        return {symbol: varint(place) for place, symbol in enumerate(kind["symbols"])}.__getitem__
    name = kind["type"] if isinstance(kind, dict) else kind
    return {"string": _string, "long": _whole(LONG), "int": _whole(INT), "double": DOUBLE.pack}.get(name)


def _nullable(kind: Any, inner: Encode) -> Encode:  # noqa: ANN401 - a node of the schema
    if isinstance(kind, dict) and kind["type"] == "enum":
        table = {symbol: PRESENT + inner(symbol) for symbol in kind["symbols"]}
        return {None: NULL, **table}.__getitem__

    def encode(value: Any) -> bytes:  # noqa: ANN401 - checked by `inner`
        return NULL if value is None else PRESENT + inner(value)

    return encode


def _string(value: str) -> bytes:
    raw = value.encode()
    return varint(len(raw)) + raw


def _whole(bound: int) -> Encode:
    def encode(value: int) -> bytes:
        if not -bound <= value < bound or value.__class__ is not int:
            raise ValueError(value)
        return varint(value)

    return encode
