"""The Avro schemas in this folder: their text for the registry, and parsed for the codec."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastavro

FOLDER = Path(__file__).resolve().parent
Schema = dict[str, Any]


def text(name: str) -> str:
    """Return the schema `name` (transaction, label, decision) as compact JSON text."""
    return json.dumps(json.loads((FOLDER / f"{name}.avsc").read_text()), separators=(",", ":"))


def parse(schema: str) -> Schema:
    """Parse a schema's JSON text; timestamps stay integer microseconds, since logical types are taken off."""
    parsed: Schema = fastavro.parse_schema(_plain(json.loads(schema)), _force=True)  # type: ignore[assignment]
    return parsed


@cache
def parsed(name: str) -> Schema:
    """Return our own schema `name`, parsed."""
    return parse(text(name))


@cache
def defaults(name: str) -> dict[str, Any]:
    """Return every field of our schema `name` with its default (None where it is required)."""
    return {field["name"]: field.get("default") for field in parsed(name)["fields"]}


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    return [_plain(item) for item in node] if isinstance(node, list) else node
