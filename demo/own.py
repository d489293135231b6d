"""The user's own file on its way: how much of it is in Bronze and Silver, and which days it covers."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from clients import trino

WARM_UP_DAYS = 30
LONG_ENOUGH_DAYS = 90
"""A file of as many days can spare its first thirty, so that every 30-day profile it trains on is whole."""


def source(mapping: Path) -> str:
    """Return the source that a mapping gives its payments."""
    return str(yaml.safe_load(mapping.read_text())["source"])


def counts(name: str) -> dict[str, Any]:
    """Return what Bronze and Silver hold of one source; the lake may hold other sources beside it."""
    bronze = trino.query("SELECT count(*) FROM bronze.transactions WHERE source = ?", [name])[0][0]
    silver = trino.query("SELECT count(*) FROM silver.transactions WHERE source = ?", [name])[0][0]
    return {"source": name, "bronze": bronze, "silver": silver}


def periods(name: str) -> list[str]:
    """Return the options that make `ml train` stay within the days of one source."""
    first, last = trino.query(
        "SELECT min(event_day), max(event_day) FROM silver.transactions WHERE source = ?", [name]
    )[0]
    if not isinstance(first, date) or not isinstance(last, date):
        return []
    spare = WARM_UP_DAYS if (last - first).days >= LONG_ENOUGH_DAYS else 0
    return ["--train-from", str(first + timedelta(days=spare)), "--test-to", str(last)]
