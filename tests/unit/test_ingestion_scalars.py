"""Cells become values exactly: no cent is lost to floating point, times are microseconds, and the rest is refused."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.validation import CURRENCIES
from epoch import to_us
from errors import InputError
from ingestion import delays
from ingestion.files import scalars
from ingestion.files.mapping import FieldMap

MAJOR = FieldMap(column="x", unit="major")
MINOR = FieldMap(column="x", unit="minor")
ROUNDED = FieldMap(column="x", unit="major", rounding="half_even")
UTC_ZONE = ZoneInfo("UTC")


@given(st.integers(-(10**14), 10**14), st.sampled_from(sorted(CURRENCIES)))
def test_amounts_are_exact_in_every_currency(minor, currency):
    """Whole units written with the currency's decimals give back exactly the minor units."""
    text = str(Decimal(minor).scaleb(-CURRENCIES[currency]))
    assert scalars.minor_units(text, currency, MAJOR) == minor


@given(st.integers(0, 10**13))
def test_a_float_column_loses_no_cent(cents):
    """An amount that Parquet holds as a double (its shortest text) is the nearest cent, exactly."""
    assert scalars.minor_units(repr(cents / 100), "USD", MAJOR) == cents


@pytest.mark.parametrize(
    ("text", "currency", "field", "minor"),
    [
        ("61.22", "USD", MAJOR, 6122),
        ("0.29", "EUR", MAJOR, 29),
        ("1e2", "EUR", MAJOR, 10_000),
        ("1234", "JPY", MAJOR, 1234),
        ("1.5", "KWD", MAJOR, 1500),
        ("12.340000", "EUR", MAJOR, 1234),
        ("-3.10", "EUR", MAJOR, -310),
        ("1234", "EUR", MINOR, 1234),
        ("1234.0", "EUR", MINOR, 1234),
        ("2.675", "USD", ROUNDED, 268),
        ("2.665", "USD", ROUNDED, 266),
        ("12,34", "EUR", FieldMap(column="x", unit="major", decimal_mark=","), 1234),
        ("5.00", "ZZZ", MAJOR, 500),
    ],
)
def test_amounts_by_example(text, currency, field, minor):
    """Decimals, exponents, minor units, decimal commas and rounding mean what they say."""
    assert scalars.minor_units(text, currency, field) == minor


@pytest.mark.parametrize(
    ("text", "currency", "field"),
    [
        ("61.225", "USD", MAJOR),
        ("1.5", "JPY", MAJOR),
        ("12,34", "EUR", MAJOR),
        ("1 000", "EUR", MAJOR),
        ("nan", "EUR", MAJOR),
        ("inf", "EUR", MAJOR),
        ("", "EUR", MAJOR),
        ("12.5", "EUR", MINOR),
        ("1e400", "EUR", MAJOR),
        ("9" * 25, "EUR", MAJOR),
    ],
)
def test_an_inexact_amount_is_refused(text, currency, field):
    """What cannot be exact is an error with the text in it, never a guess."""
    with pytest.raises(ValueError, match=r"decimals|number|large"):
        scalars.minor_units(text, currency, field)


@given(st.datetimes(datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2100-01-01")))
def test_written_times_are_microseconds(when):
    """ISO times with and without offset, and a pattern, give the microseconds since 1970."""
    expected = to_us(when.replace(tzinfo=UTC))
    assert scalars.written_time(when.isoformat(), None, UTC_ZONE) == expected
    assert scalars.written_time(when.isoformat() + "+02:00", None, UTC_ZONE) == expected - 7_200_000_000
    assert scalars.written_time(f"{when:%d/%m/%Y %H:%M:%S.%f}", "%d/%m/%Y %H:%M:%S.%f", UTC_ZONE) == expected


def test_times_by_example():
    """Zones, seconds, milliseconds and fractions."""
    assert scalars.written_time("2024-07-01 12:00:00", None, ZoneInfo("Europe/Paris")) == 1_719_828_000_000_000
    assert scalars.unix_time("1708923820", 1_000_000) == 1_708_923_820_000_000
    assert scalars.unix_time("1708923820.25", 1_000_000) == 1_708_923_820_250_000
    assert scalars.unix_time("1708923820123", 1_000) == 1_708_923_820_123_000
    for wrong in ("yesterday", "2024-13-01"):
        with pytest.raises(ValueError, match="not a time"):
            scalars.written_time(wrong, None, UTC_ZONE)
    with pytest.raises(ValueError, match="finer"):
        scalars.unix_time("1.00000001", 1_000_000)


def test_delays_have_the_middle_they_are_given():
    """A constant is constant, a lognormal has its median, an exponential its mean, all seeded."""
    day = delays.UNIT_US["d"]
    texts = ("7d", "lognormal:7d", "exponential:36h")
    draw = {text: delays.parse(text)(np.random.default_rng(1), 20_000) for text in texts}
    assert set(draw["7d"].tolist()) == {7 * day}
    assert abs(float(np.median(draw["lognormal:7d"])) / (7 * day) - 1) < 0.03
    assert abs(float(np.mean(draw["exponential:36h"])) / (1.5 * day) - 1) < 0.03
    assert min(draw["exponential:36h"]) >= 0
    again = delays.parse("lognormal:7d")(np.random.default_rng(1), 20_000)
    assert np.array_equal(again, draw["lognormal:7d"])


@pytest.mark.parametrize("text", ["7", "d", "-1d", "gamma:3d", "7 d", "lognormal:"])
def test_a_wrong_delay_says_how_to_write_one(text):
    """The error shows the forms that are understood."""
    with pytest.raises(InputError, match="lognormal:7d"):
        delays.parse(text)
