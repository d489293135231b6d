"""The Confluent wire format: a zero byte, the schema's id in four bytes, then Avro; decoded by the writer's schema."""

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import fastavro

from contracts import cleaning, schemas
from errors import RejectedError

MAGIC = 0
HEADER = struct.Struct(">bI")
LARGEST_RECORD = 64 * 1024
"""Bytes of one framed record; ours are near 200, so more is a mistake or an attack."""
LARGEST = {"decision": 2 * LARGEST_RECORD}
"""The same for schemas that need more: a decision carries its payment's frame, whatever size that has."""

Record = dict[str, Any]
Writer = Callable[[int], schemas.Schema]
"""From a schema id to the writer's parsed schema; RejectedError(`unknown_schema_id`) if there is none."""


def encode(record: Mapping[str, Any], schema: schemas.Schema, schema_id: int) -> bytes:
    """Frame `record` as Avro under `schema_id`; raises RejectedError(`not_encodable`) naming the field at fault."""
    out = io.BytesIO()
    out.write(HEADER.pack(MAGIC, schema_id))
    try:
        fastavro.schemaless_writer(out, schema, record, disable_tuple_notation=True)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise RejectedError("not_encodable", f"the record does not fit its Avro schema: {error}") from error
    return out.getvalue()


def framed_as(message: bytes, schema_id: int) -> bytes:
    """Return a framed message under another id of the same schema: topics have ids of their own."""
    return HEADER.pack(MAGIC, schema_id) + message[HEADER.size :]


def unframe(message: bytes | None, largest: int = LARGEST_RECORD) -> tuple[int, bytes]:
    """Return (schema id, Avro bytes) of a framed message; raises RejectedError with the code of what is wrong."""
    if not message:
        raise RejectedError("empty", "the message has no value")
    if len(message) > largest:
        raise RejectedError("oversized", f"{len(message)} bytes; a record has at most {largest}")
    if message[0] != MAGIC:
        raise RejectedError("bad_magic_byte", f"first byte is 0x{message[0]:02x}, the Confluent frame begins with 0x00")
    if len(message) < HEADER.size:
        raise RejectedError("truncated", f"{len(message)} bytes; the frame's header alone has {HEADER.size}")
    return int.from_bytes(message[1:5], "big"), message[5:]


def decode(message: bytes | None, writer: Writer, name: str) -> tuple[int, Record]:
    """Decode a framed message of our schema `name` with its writer's schema.

    `writer(schema_id)` returns the writer's parsed schema and raises RejectedError(`unknown_schema_id`) if there is
    none. Returns (schema id, record) as `cleaning` leaves it: fields of ours that the writer lacks hold their default,
    fields that only the writer has stand under `extra` (a dict). Raises RejectedError with the code of what is wrong.
    """
    schema_id, payload = unframe(message, LARGEST.get(name, LARGEST_RECORD))
    stream = io.BytesIO(payload)
    schema = writer(schema_id)
    try:
        written = fastavro.schemaless_reader(stream, schema, None)
    except EOFError as error:
        raise RejectedError("truncated", f"the Avro payload ends early, after {len(payload)} bytes") from error
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, StopIteration, MemoryError) as error:
        raise RejectedError("undecodable", f"not Avro of schema {schema_id}: {type(error).__name__} {error}") from error
    if stream.read(1):
        raise RejectedError("trailing_bytes", f"bytes are left over after the Avro record of schema {schema_id}")
    if not isinstance(written, dict):
        raise RejectedError("wrong_schema", f"schema {schema_id} is not a record but {type(written).__name__}")
    return schema_id, complete(written, name)


def complete(written: Record, name: str) -> Record:
    """Return `written` cleaned, with our schema's defaults where it is silent; unknown fields move to `extra`."""
    known = schemas.defaults(name)
    if written.keys() == known.keys():
        return cleaning.clean(written, name)
    extra = {key: value for key, value in written.items() if key not in known}
    record = known | {key: value for key, value in written.items() if key in known}
    if extra:
        record["extra"] = extra
    return cleaning.clean(record, name)
