"""A card's last day of payments as a small pure state: what it takes to say how often and how much it paid just now.

A window holds the card's events of the 24 hours and 10 minutes before its newest one, and the one event before those;
at most 512, newest kept. Events are ordered by time, and those of one moment by arrival: what arrived before counts as
before. That is part of the definition: a recount of the events in the order of their arrival, with the same bounds,
gives the same numbers to the bit. Only `features.py` uses this module.
"""

import math
import struct
from bisect import bisect_left
from itertools import starmap
from typing import NamedTuple, Self

from errors import ContractError

NAN = math.nan
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
LATENESS_US = 10 * MINUTE_US
"""An event this much older than the card's newest is too late: not observed, and its own window is not known."""
MOST = 512
"""A window that holds so many takes in only what is later than its oldest event: what it pushed off cannot return."""
FORGOTTEN_US = 30 * DAY_US
PARTS = 10_000
"""Amounts are whole ten-thousandths of the reporting currency, so that sums are exact in any order."""

COLUMNS = (
    "tx_count_5min",
    "tx_count_1hr",
    "tx_count_24hr",
    "amount_sum_24hr",
    "avg_amount_1hr",
    "max_amount_1hr",
    "time_since_last_tx_s",
    "geo_velocity_kmh",
    "high_risk_merchant_count_1hr",
)

EARTH_KM = 6_371.0088
NEAR_KM = 5.0
SOONEST_S = 60.0
FASTEST_KMH = 2_000.0

VERSION = 2
HEAD = struct.Struct("<BHI")
EVENT = struct.Struct("<qQqiiB")
NOWHERE = 0x7FFF_FFFF
UNPRICED = -1
UNRATED = 2


class Place(NamedTuple):
    """WGS84 in millionths of a degree, so that it is stored without loss."""

    latitude: int
    longitude: int


class Event(NamedTuple):
    """One attempt to pay, as a window keeps it.

    time_us: UTC microseconds; id: 64 bits that stand for (source, transaction_id); parts: the amount in ten-thousandths
    of the reporting currency, None if unknown or not money; place: only of card-present payments; high_risk: None when
    the acceptor's category is not known.
    """

    time_us: int
    id: int
    parts: int | None
    place: Place | None
    high_risk: bool | None


Kept = tuple[int, int, int, int, int, int]
"""An event as EVENT packs it: time_us, id, parts or UNPRICED, latitude and longitude or NOWHERE, 0, 1 or UNRATED."""


class Window:
    """The events of one card that its window features need, sorted, and how many came too late to be observed.

    They are kept as they are packed: most windows are read, asked once, and written again.
    """

    __slots__ = ("_kept", "late")

    def __init__(self) -> None:
        """Begin with nothing observed."""
        self._kept: list[Kept] = []
        self.late = 0

    @property
    def events(self) -> list[Event]:
        """What is kept, the oldest first."""
        return [_event(*each) for each in self._kept]

    def is_late(self, event: Event) -> bool:
        """Whether the event is older than the window can answer for."""
        return bool(self._kept) and event.time_us < self._kept[-1][0] - LATENESS_US

    def observe(self, event: Event) -> bool:
        """Take an event in; False if that changes no feature: a repeat, too late (which is counted), or beyond MOST.

        A repeat has the id of an event that is kept, under whatever time; of one that is not kept any more, it is late
        or beyond MOST.
        """
        kept, identity, time_us = self._kept, event.id, event.time_us
        for other in kept:
            if other[1] == identity:
                return False
        if self.is_late(event):
            self.late += 1
            return False
        if len(kept) == MOST and time_us <= kept[0][0]:
            return False
        if not kept or time_us >= kept[-1][0]:
            kept.append(_flat(event))
            self._forget()
        else:
            kept.insert(_from(kept, time_us), _flat(event))
            del kept[:-MOST]
        return True

    def _forget(self) -> None:
        begin = _from(self._kept, self._kept[-1][0] - DAY_US - LATENESS_US)
        del self._kept[: max(begin - 1, len(self._kept) - MOST, 0)]

    def features(self, event: Event) -> tuple[float, ...] | None:
        """Return COLUMNS for a payment about to be made, from the events before it; None when it is too late to say.

        Of one that was observed already, what arrived after it in the same moment is not before it. Counts in events,
        amounts in the reporting currency.
        """
        if self.is_late(event):
            return None
        kept, now = self._kept, event.time_us
        end = _before(kept, now, event.id)
        day = _from(kept, now - DAY_US, end)
        hour = _from(kept, now - HOUR_US, end)
        minutes = _from(kept, now - 5 * MINUTE_US, end)
        amounts = [parts for _, _, parts, _, _, _ in kept[day:end] if parts != UNPRICED]
        recent = [parts for _, _, parts, _, _, _ in kept[hour:end] if parts != UNPRICED]
        since = now - kept[end - 1][0] if end else FORGOTTEN_US + 1
        return (
            float(end - minutes),
            float(end - hour),
            float(end - day),
            sum(amounts) / PARTS if amounts or end == day else NAN,
            sum(recent) / (len(recent) * PARTS) if recent else NAN,
            max(recent) / PARTS if recent else NAN,
            since / SECOND_US if since <= FORGOTTEN_US else NAN,
            _velocity(kept[day:end], event),
            NAN if event.high_risk is None else float(sum(risk == 1 for _, _, _, _, _, risk in kept[hour:end])),
        )

    def pack(self) -> bytes:
        """Return the state as bytes: 7 and 33 for each event."""
        head = HEAD.pack(VERSION, len(self._kept), min(self.late, 0xFFFF_FFFF))
        return head + b"".join(starmap(EVENT.pack, self._kept))

    @classmethod
    def unpack(cls, value: bytes) -> Self:
        """Read a packed state; ContractError if it is not one of this version."""
        if len(value) < HEAD.size or value[0] != VERSION:
            raise ContractError(f"not a window of version {VERSION}")
        _, count, late = HEAD.unpack_from(value)
        if len(value) != (size := HEAD.size + count * EVENT.size):
            raise ContractError(f"a window of {count} events has {size} bytes, not {len(value)}")
        window = cls()
        window.late = late
        window._kept = list(EVENT.iter_unpack(value[HEAD.size :]))
        return window


def _before(kept: list[Kept], time_us: int, identity: int) -> int:
    """Return how many events are before one of `time_us`: all up to its moment, or up to itself if it is kept."""
    end = place = _from(kept, time_us)
    while place and kept[place - 1][0] == time_us:
        place -= 1
        if kept[place][1] == identity:
            return place
    return end


def _from(kept: list[Kept], after_us: int, end: int | None = None) -> int:
    """Return the index of the first event later than `after_us`."""
    return bisect_left(kept, (after_us + 1,), 0, len(kept) if end is None else end)


def _velocity(before: list[Kept], event: Event) -> float:
    """Return km/h from the last card-present place of the day before; NaN without two such places."""
    if event.place is None:
        return NAN
    last = next((each for each in reversed(before) if each[3] != NOWHERE), None)
    if last is None:
        return NAN
    distance = kilometres(Place(last[3], last[4]), event.place)
    if distance < NEAR_KM:
        return 0.0
    hours = max((event.time_us - last[0]) / SECOND_US, SOONEST_S) / 3_600
    return min(distance / hours, FASTEST_KMH)


def kilometres(one: Place, other: Place) -> float:
    """Return the great-circle distance by the haversine formula (R. W. Sinnott, 1984), mean Earth radius of IUGG."""
    first, second = math.radians(one.latitude / 1e6), math.radians(other.latitude / 1e6)
    across = math.radians((other.longitude - one.longitude) / 1e6)
    half = math.sin((second - first) / 2) ** 2 + math.cos(first) * math.cos(second) * math.sin(across / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def _flat(event: Event) -> Kept:
    time_us, identity, parts, place, high_risk = event
    latitude, longitude = place or (NOWHERE, NOWHERE)
    risk = UNRATED if high_risk is None else int(high_risk)
    return time_us, identity, UNPRICED if parts is None else parts, latitude, longitude, risk


def _event(time_us: int, identity: int, parts: int, latitude: int, longitude: int, risk: int) -> Event:
    return Event(
        time_us,
        identity,
        None if parts == UNPRICED else parts,
        None if latitude == NOWHERE else Place(latitude, longitude),
        None if risk == UNRATED else bool(risk),
    )
