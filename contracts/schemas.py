"""The Avro schemas in this folder: their text for the registry, and parsed for the codec."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType

from errors import RejectedError

FOLDER = Path(__file__).resolve().parent
Schema = dict[str, Any]
SIMPLE = frozenset("null boolean int long float double bytes string enum fixed".split())  # noqa: SIM905
PARSING = (SchemaParseException, UnknownType, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What fastavro raises at text that is JSON, but no Avro schema."""


def text(name: str) -> str:
    """Return the schema `name` (transaction, label, decision) as compact JSON text."""
    return json.dumps(json.loads((FOLDER / f"{name}.avsc").read_text()), separators=(",", ":"))


def parse(schema: str) -> Schema:
    """Parse a schema's JSON text; timestamps stay integer microseconds, since logical types are taken off.

    Raises RejectedError(`wrong_schema`) unless it is a flat record, of simple types, enums and unions of them. Bytes
    under any other schema may ask for more stack or memory than there is, however few they are.
    """
    try:
        parsed: Schema = fastavro.parse_schema(_plain(json.loads(schema)), _force=True)  # type: ignore[assignment]
    except PARSING as error:
        raise RejectedError("wrong_schema", f"no Avro schema that stands alone: {type(error).__name__}") from error
    if not isinstance(parsed, dict) or parsed.get("type") != "record":
        raise RejectedError("wrong_schema", "not the schema of a record")
    for field in parsed["fields"]:
        if strange := sorted(_kinds(field["type"]) - SIMPLE):
            raise RejectedError(
                "wrong_schema",
                f"field {field['name']} is of {', '.join(strange)}; a record here holds simple types alone, no array, "
                "map or record",
            )
    return parsed


@cache
def parsed(name: str) -> Schema:
    """Return our own schema `name`, parsed."""
    return parse(text(name))


@cache
def defaults(name: str) -> dict[str, Any]:
    """Return every field of our schema `name` with its default (None where it is required)."""
    return {field["name"]: field.get("default") for field in parsed(name)["fields"]}


def _kinds(kind: Any) -> set[str]:
    """Return the names of the types that a field may have; one that was named before is not among the simple ones."""
    if isinstance(kind, list):
        return set().union(*map(_kinds, kind))
    return _kinds(kind["type"]) if isinstance(kind, dict) else {kind}


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    return [_plain(item) for item in node] if isinstance(node, list) else node
