"""Small notes in the stack's `status/` folder: what a starting service waits for, how often it started."""

import json
import os
from typing import Any

from infra.native.paths import Home


def write(home: Home, name: str, **fields: Any) -> None:
    """Replace the note `name` by these fields, whole or not at all."""
    path = home.status / f"{name}.json"
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(fields))
    partial.replace(path)


def read(home: Home, name: str) -> dict[str, Any]:
    """Return the note `name`; empty when there is none or it is unreadable."""
    try:
        note: dict[str, Any] = json.loads((home.status / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}
    return note
