"""What the services of this machine say of themselves: their files in LAKEHOUSE_HOME/status."""

import json
import time
from datetime import datetime
from typing import Any

from errors import LakehouseError
from settings import lakehouse_home

Figures = dict[str, Any]
OFTEN, WITHIN_S = 3, 120.0
"""A service that was started so often within so long dies at each start, whatever it says between."""


class NotWellError(LakehouseError):
    """A part answers, and is not well; its text says why."""


def read(name: str) -> Figures:
    """Return what a service says; FileNotFoundError if it says nothing here, NotWellError if it cannot be read."""
    try:
        said: Figures = json.loads((lakehouse_home() / "status" / f"{name}.json").read_text())
    except ValueError as error:
        raise NotWellError(f"its status file cannot be read: {error}") from error
    return said


def age_s(said: Figures) -> float:
    """Return the seconds since it spoke, by `updated_at`: seconds since 1970, or ISO 8601."""
    at = said["updated_at"]
    return time.time() - (at if isinstance(at, int | float) else datetime.fromisoformat(at).timestamp())


def check_starts(name: str) -> None:
    """Raise NotWellError if the supervisor started a service again and again just now."""
    try:
        recent = read(f"starts-{name}").get("recent") or []
    except FileNotFoundError:
        return
    starts = sum(at > time.time() - WITHIN_S for at in recent)
    if starts >= OFTEN:
        raise NotWellError(f"was started {starts} times within {WITHIN_S:.0f} s: it does not stay up")
