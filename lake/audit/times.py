"""Moments as an auditor gives them: with their zone, and not in the future."""

from datetime import UTC, datetime

from errors import InputError

EXAMPLE = "2026-11-22T14:30:00Z"


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return the UTC moment that `text` names: ISO 8601 with a zone, or Trino's form `2026-11-22 14:30:00 UTC`.

    Raises InputError for another form, without a zone, or later than `now`.
    """
    plain = text.strip()
    plain = plain[:-4] + "Z" if plain.upper().endswith(" UTC") else plain
    try:
        found = datetime.fromisoformat(plain)
    except ValueError as error:
        raise InputError(f"{text!r} is not a time: write it like {EXAMPLE}") from error
    if found.tzinfo is None:
        raise InputError(f"{text!r} names no zone, so it may be any of 26 hours: write {EXAMPLE} for UTC, or +01:00")
    if found > (now or datetime.now(UTC)):
        raise InputError(f"{text!r} has not come yet: a table can be asked about its past only")
    return found.astimezone(UTC)


def shown(time: datetime | None) -> str:
    """Return a moment for people, in UTC to the millisecond."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC" if time else ""


def literal(time: datetime) -> str:
    """Return a moment as a literal of Trino."""
    return f"timestamp '{shown(time)}'"
