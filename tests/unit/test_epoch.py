"""Microseconds and days since 1970, there and back."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import epoch


@given(st.datetimes(datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2100-01-01")), st.integers(-14, 14))
def test_a_moment_comes_back_from_any_zone(when, hours):
    """To the microsecond, before 1970 too, whatever the zone it was written in."""
    moment = when.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert epoch.from_us(epoch.to_us(moment)) == moment
    assert epoch.from_us(epoch.to_us(moment)).tzinfo is UTC


@given(st.dates())
def test_a_date_comes_back(day):
    """Its number is that of its first moment."""
    assert epoch.from_day(epoch.to_day(day)) == day
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert epoch.to_day(day) == epoch.to_us(midnight) // 86_400_000_000


def test_by_example():
    """One of each."""
    assert epoch.to_us(datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC)) == 1_714_564_800_000_001
    assert epoch.from_day(19_844) == date(2024, 5, 1)


def test_a_moment_without_a_zone_is_nobodys():
    """It could be any hour: an error, not a guess."""
    with pytest.raises(TypeError):
        epoch.to_us(datetime(2024, 5, 1))  # noqa: DTZ001 - that is the point
