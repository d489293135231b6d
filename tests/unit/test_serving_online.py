"""What stands in Redis is read back to the bit, and means the right thing for the time of the payment that asks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ContractError
from features import DAY_US, HOUR_US, PROFILE_TTL_S, SECOND_US, Status
from serving.decide.record import age_s
from serving.online.packing import HASH, META, ROW, Kind, Meta, pack, unpack
from serving.online.profiles import judge

DAY = 20_000
kinds = st.sampled_from(list(Kind))
numbers = st.floats(allow_nan=True, allow_infinity=False)


def stored(kind, day, version=1, value=2.0):
    return pack(kind, np.array([day], np.int32), np.array([version]), np.full((1, len(kind.columns)), value))[0]


@given(st.data(), kinds, st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**62))
def test_packed_rows_come_back_to_the_bit(data, kind, day, version):
    """Packing by numpy and reading by struct are one layout, NaN included."""
    values = data.draw(st.lists(numbers, min_size=len(kind.columns), max_size=len(kind.columns)))
    packed = pack(kind, np.array([day, day], np.int32), np.array([version, 0]), np.array([values, values]))
    row = unpack(kind, packed[0])
    assert (row.day, row.version, row.schema_hash) == (day, version, HASH)
    assert np.array_equal(row.values, values, equal_nan=True)
    assert len(packed) == 2
    assert unpack(kind, packed[1]).version == 0


@given(kinds, st.binary(max_size=300))
def test_foreign_bytes_are_never_read_as_a_profile(kind, value):
    """A value of another length is refused; whatever stands there, judging it never fails and never invents values."""
    if len(value) != ROW[kind].size:
        with pytest.raises(ContractError):
            unpack(kind, value)
    meta = Meta(DAY, 1).pack()
    assert judge(kind, meta, value, DAY * DAY_US).status in {Status.STALE, Status.NEW}
    if len(value) != META.size:
        assert judge(kind, value, None, DAY * DAY_US).status is Status.STALE


@pytest.mark.parametrize(
    ("meta_day", "row_day", "time_us", "status", "age"),
    [
        (DAY, DAY, DAY * DAY_US + 5 * HOUR_US, Status.FRESH, 5 * 3600),
        (DAY, DAY, DAY * DAY_US + PROFILE_TTL_S * SECOND_US, Status.FRESH, PROFILE_TTL_S),
        (DAY, DAY, DAY * DAY_US + PROFILE_TTL_S * SECOND_US + 1, Status.STALE, PROFILE_TTL_S),
        (DAY, DAY + 1, (DAY + 1) * DAY_US, Status.FRESH, 0),  # the row is written before the meta value
        (DAY, DAY - 1, DAY * DAY_US + HOUR_US, Status.NEW, 3600),  # dormant since yesterday
        (DAY, None, DAY * DAY_US + HOUR_US, Status.NEW, 3600),
        (DAY, None, (DAY + 3) * DAY_US, Status.STALE, 3 * 86_400),
        (DAY, DAY, DAY * DAY_US - 1, Status.FUTURE, -1),
        (DAY, None, DAY * DAY_US - 1, Status.FUTURE, -1),
        (DAY, DAY - 1, DAY * DAY_US - 1, Status.FRESH, 86_399),  # the very day of a late payment
        (None, None, DAY * DAY_US, Status.STALE, None),
        (None, DAY, DAY * DAY_US, Status.STALE, None),
    ],
)
@pytest.mark.parametrize("kind", list(Kind))
def test_statuses(kind, meta_day, row_day, time_us, status, age):
    """Fresh, new, stale and future are told apart by the payment's own time; ages count from the day's start."""
    meta = None if meta_day is None else Meta(meta_day, 1).pack()
    row = None if row_day is None else stored(kind, row_day)
    found = judge(kind, meta, row, time_us)
    assert found.status is status
    assert age_s(found, time_us) == age
    assert bool(found.values) == (status is Status.FRESH)


@pytest.mark.parametrize("kind", list(Kind))
def test_other_features_are_refused(kind):
    """A row or meta value of another schema hash is not used, and the group does not pass for new."""
    other = b"\x01" * 8
    meta, row = Meta(DAY, 1).pack(), stored(kind, DAY)
    assert judge(kind, other + meta[8:], row, DAY * DAY_US).status is Status.STALE
    assert judge(kind, meta, other + row[8:], DAY * DAY_US).values == ()


@given(kinds, st.integers(0, 5), st.integers(-5, 5), st.integers(-6 * DAY_US, 6 * DAY_US))
def test_no_later_day_is_ever_used(kind, behind, ahead, offset):
    """Whatever is stored: values are used only of the payment's day or before, and never past their time to live."""
    time_us = DAY * DAY_US + offset
    found = judge(kind, Meta(DAY - behind, 1).pack(), stored(kind, DAY + ahead), time_us)
    if found.status is Status.FRESH:
        assert found.day * DAY_US <= time_us <= found.day * DAY_US + PROFILE_TTL_S * SECOND_US
        assert not any(math.isnan(value) for value in found.values)
