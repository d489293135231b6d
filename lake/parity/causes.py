"""Why a logged feature differs: only what the record or the lake's own history tells counts as a cause.

The vector is made once more from what the record says was found of each group: its status, and the day and version of
its profile, as Gold had that row. A difference that this reproduces to the bit has that fact as its cause. Whatever it
does not reproduce has none, and so has a status that the record itself contradicts: it is unexplained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import features
from epoch import from_us
from features import DAY_US, FEATURES, NAMES, PROFILE_TTL_S, SECOND_US, Group, Profile, Status
from lake.parity.history import UNAVAILABLE, History
from lake.parity.recompute import ABSENT, Case, build, equal

UNEXPLAINED = "unexplained"
SOURCES = {Group.DERIVED: Group.CARD}
"""From which group one that is not looked up itself is made."""


@dataclass(frozen=True)
class Difference:
    """A feature that was logged as `logged` and is `again` by the lake, and why (UNEXPLAINED: nothing tells)."""

    number: int
    feature: str
    logged: float
    again: float
    cause: str

    @property
    def explained(self) -> bool:
        """Whether a recorded fact is the cause."""
        return self.cause != UNEXPLAINED


@dataclass(frozen=True)
class Fact:
    """What the record says was found of a group, and the cause if that is not what was due.

    `unchecked`: the row that it names is in no version of Gold any more, so its values are taken as they are.
    """

    profile: Profile
    cause: str
    unchecked: bool = False


def explain(case: Case, history: History) -> list[Difference]:
    """Return every feature of a case that differs, with its cause; raises the storage's errors."""
    facts = {group: fact for group in case.due if (fact := _fact(group, case, history))}
    known = case.due | {group: fact.profile for group, fact in facts.items()}
    told = equal(build(case.payment, known), case.logged)
    found = []
    for place in np.flatnonzero(~equal(case.logged, case.again)).tolist():
        group = FEATURES[place].group
        fact = facts.get(SOURCES.get(group, group))
        cause = fact.cause if fact and (told[place] or fact.unchecked) else UNEXPLAINED
        found.append(Difference(case.number, NAMES[place], float(case.logged[place]), float(case.again[place]), cause))
    return found


def _fact(group: Group, case: Case, history: History) -> Fact | None:
    """Return what the record says of a group where that is another thing than was due; None where it says nothing."""
    told = case.groups.get(group.value, {})
    try:
        status = Status(told.get("status"))
    except ValueError:
        return None
    if status is Status.UNREACHABLE:
        return Fact(Profile(status), f"{group}: the online store did not answer")
    if group is Group.WINDOW:
        return _window(status, case)
    return _profile(group, status, told, case, history)


def _window(status: Status, case: Case) -> Fact | None:
    if status is Status.STALE:
        return Fact(Profile(status), "window: being made again")
    if case.rebuilt is not None and case.lost_us is not None:
        return Fact(case.rebuilt, f"window: made again from 25 hours after the outage of {from_us(case.lost_us):%F %R}")
    return None


def _profile(group: Group, status: Status, told: Mapping[str, Any], case: Case, history: History) -> Fact | None:
    day, version, time_us = told.get("as_of_day"), told.get("profile_version"), case.payment["event_time"]
    due = features.profile_day(time_us)
    if status is Status.STALE:
        old = day is None or time_us - day * DAY_US > PROFILE_TTL_S * SECOND_US
        return Fact(Profile(status), f"{group}: stale, {_behind(day, due)}") if old else None
    if status is Status.FUTURE:
        later = day is not None and day > time_us // DAY_US
        return Fact(Profile(status), f"{group}: of a later day than the payment") if later else None
    entity = case.payment["card_id"] if group is Group.CARD else features.acceptor_id(case.payment)
    if entity is None or day is None or version is None:
        return None
    found = history.written(group, entity, day, version)
    if status is Status.NEW:
        return _missing(found, group, day, due, version, history.now(group, entity, day))
    if status is Status.FRESH:
        cause = f"{group}: {_other(day, due)}"
        if found is UNAVAILABLE:
            return Fact(ABSENT, f"{cause}, which Gold's history has no more", unchecked=True)
        if isinstance(found, Profile) and found.version == version:
            return Fact(found, cause)
    return None


def _missing(found: object, group: Group, day: int, due: int, version: int, now: Profile | None) -> Fact | None:
    """Return that there was no row when the entity passed for new, if that is so."""
    if found is None or (found is UNAVAILABLE and (now is None or (now.version or 0) > version)):
        cause = "its row was written later" if day == due else _behind(day, due)
        return Fact(Profile(Status.NEW), f"{group}: {cause}")
    return None


def _behind(day: int | None, due: int) -> str:
    if day is None:
        return "nothing was published yet"
    days = due - day
    return f"{abs(days)} day{'s' if abs(days) != 1 else ''} {'behind' if days >= 0 else 'ahead'}"


def _other(day: int, due: int) -> str:
    return "another profile version than Gold has now" if day == due else f"the profile online was {_behind(day, due)}"
