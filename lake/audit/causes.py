"""Why what was known at a time and what was stored then differ: decided from recorded times alone, no I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lake.audit.times import shown


class Cause(StrEnum):
    """What kept knowledge and storage apart; the order is that of a row's way into the table."""

    AGREE = "agree"
    ARRIVED_LATER = "arrived later"
    LANDED_LATER = "landed later"
    BUILT_LATER = "built later"
    COMMITTED_LATER = "committed later"
    AHEAD_OF_TIME = "ahead of its time"
    REMOVED = "removed later"
    REWRITTEN = "rewritten later"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Facts:
    """What is recorded of one row: its clocks as it is now, and whether the version then and the one now have it.

    `known` is the clock of its matter (event, label, publication), `entered` the commit that first had the row.
    """

    stored: bool
    standing: bool
    equal: bool
    known: datetime | None
    arrived: datetime | None
    landed: datetime | None
    built: datetime | None
    entered: datetime | None


def cause(facts: Facts, at: datetime, *, before: bool = False) -> Cause:
    """Return why a row is known at `at` and not stored, stored and not known, or stored with other values.

    A row counts as known when its clock is at or before `at`, with `before` strictly before it, as labels count.
    """
    known = facts.standing and is_known(facts.known, at, before=before)
    if known and facts.stored:
        return Cause.AGREE if facts.equal else Cause.REWRITTEN
    if not known and not facts.stored:
        return Cause.AGREE
    if facts.stored:
        return Cause.AHEAD_OF_TIME if facts.standing else Cause.REMOVED
    for moment, named in (
        (facts.arrived, Cause.ARRIVED_LATER),
        (facts.landed, Cause.LANDED_LATER),
        (facts.built, Cause.BUILT_LATER),
        (facts.entered, Cause.COMMITTED_LATER),
    ):
        if moment is not None and moment > at:
            return named
    return Cause.UNEXPLAINED


def is_known(clock: datetime | None, at: datetime, *, before: bool = False) -> bool:
    """Say whether what `clock` dates was known at `at`."""
    return clock is not None and (clock < at if before else clock <= at)


def sentence(why: Cause, facts: Facts, by: str | None) -> str:
    """Return the cause in words, with the times that show it and what `by` (a version, a run) is known of its maker."""
    at_last = f"; stored by {by}" if by else ""
    return {
        Cause.AGREE: "",
        Cause.ARRIVED_LATER: f"it reached Kafka only at {shown(facts.arrived)}{at_last}",
        Cause.LANDED_LATER: f"Kafka had it at {shown(facts.arrived)}, Bronze only at {shown(facts.landed)}{at_last}",
        Cause.BUILT_LATER: f"{_landed(facts)}the run that made it began only at {shown(facts.built)}{at_last}",
        Cause.COMMITTED_LATER: f"its run had begun at {shown(facts.built)} and had not committed yet{at_last}",
        Cause.AHEAD_OF_TIME: f"stored, though by its own clock it counts only from {shown(facts.known)}",
        Cause.REMOVED: "stored then, and no longer in the table" + (f": taken out by {by}" if by else ""),
        Cause.REWRITTEN: "other values stood there then" + (f": written again by {by}" if by else ""),
        Cause.UNEXPLAINED: "no recorded time explains it: show this to the owner of the table",
    }[why]


def _landed(facts: Facts) -> str:
    return f"Bronze had it at {shown(facts.landed)}, " if facts.landed else ""
