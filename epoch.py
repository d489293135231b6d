"""UTC time as numbers, microseconds and days since 1970-01-01, and the datetimes and dates that they stand for."""

from datetime import UTC, date, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = date(1970, 1, 1)


def to_us(moment: datetime) -> int:
    """Return the microseconds since 1970 of a moment that has a zone; exact, what is finer does not exist."""
    return (moment - FIRST_MOMENT) // MICROSECOND


def from_us(time_us: int) -> datetime:
    """Return the moment, in UTC, that is `time_us` microseconds after 1970 began."""
    return FIRST_MOMENT + timedelta(microseconds=time_us)


def to_day(day: date) -> int:
    """Return the days since 1970-01-01."""
    return day.toordinal() - FIRST_DAY.toordinal()


def from_day(day: int) -> date:
    """Return the date that is `day` days after 1970-01-01."""
    return date.fromordinal(FIRST_DAY.toordinal() + day)
