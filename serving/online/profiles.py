"""What a packed profile means for one payment: fresh, new, stale, of a later day, absent or unreachable."""

from functools import lru_cache

from errors import ContractError
from features import DAY_US, PROFILE_TTL_S, SECOND_US, Profile, Status
from serving.online.packing import HASH, Kind, Meta, Row, unpack

UNREACHABLE = Profile(Status.UNREACHABLE)
ABSENT = Profile(Status.ABSENT)


@lru_cache(maxsize=len(Kind))
def read_meta(value: bytes | None) -> Meta | None:
    """Return what has been published; None if nothing has, or only by a program with other features."""
    if value is None:
        return None
    meta = Meta.unpack(value)
    return meta if meta.schema_hash == HASH else None


def read_row(kind: Kind, value: bytes | None) -> Row | None:
    """Return the entity's row; None if there is none, or only one of other features."""
    if value is None:
        return None
    row = unpack(kind, value)
    return row if row.schema_hash == HASH else None


def judge(kind: Kind, meta_value: bytes | None, row_value: bytes | None, event_time_us: int) -> Profile:
    """Return the profile that a payment at `event_time_us` may use, with the day that its age counts from.

    Ages are measured from the payment's time, never from the wall clock. Without rows published by this program's
    features, or with an unreadable value, the group is stale: missing and degraded, never guessed.
    """
    try:
        meta, row = read_meta(meta_value), read_row(kind, row_value)
    except ContractError:
        return Profile(Status.STALE)
    if meta is None:
        return Profile(Status.STALE)
    event_day = event_time_us // DAY_US
    newest = max(meta.day, row.day) if row else meta.day
    if row is not None and row.day > event_day:
        return Profile(Status.FUTURE, day=row.day)
    if event_time_us - newest * DAY_US > PROFILE_TTL_S * SECOND_US:
        return Profile(Status.STALE, day=newest)
    if row is not None and row.day in (newest, event_day):
        return Profile(Status.FRESH, row.values, row.day, row.version)
    if newest > event_day:
        return Profile(Status.FUTURE, day=newest)  # nothing can be said of the payment's own day any more
    # Of what was published then: a row of a later version was not there to be found.
    return Profile(Status.NEW, day=newest, version=meta.mark_us // 1_000)
