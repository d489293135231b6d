"""Which days train and test."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import InputError
from ml.periods import Split, busiest, default

FIRST = date(2024, 1, 1)


@given(st.integers(0, 400), st.integers(0, 30))
def test_default_split_keeps_every_gap(days, delay):
    """A lake of any size is split in order, gapped twice and mature, or refused for being too small."""
    last = FIRST + timedelta(days=days)
    known = days + 1 - delay
    if known - min(30, max(0, known) // 4) < 14 + 3 * delay:
        with pytest.raises(InputError, match="at least"):
            default(FIRST, last, delay)
        return
    split = default(FIRST, last, delay)
    inner = split.inner()
    assert split.train_from >= FIRST
    assert split.test_to + timedelta(days=delay) == last
    assert (split.test_from - split.train_to).days == delay + 1
    assert (inner.test_from - inner.train_to).days == delay + 1
    assert inner.test_to == split.train_to
    assert inner.train_from == split.train_from


@pytest.mark.parametrize("delay", range(31))
def test_the_number_of_days_in_the_error_is_enough(delay):
    """A lake with as many days as the error asks for can be split, and with one less it cannot."""
    with pytest.raises(InputError) as caught:
        default(FIRST, FIRST + timedelta(days=10), delay)
    enough = int(str(caught.value).split("at least ")[1].split()[0])
    default(FIRST, FIRST + timedelta(days=enough - 1), delay)
    with pytest.raises(InputError):
        default(FIRST, FIRST + timedelta(days=enough - 2), delay)


def test_the_demo_history():
    """120 days give four weeks of warm-up, eight to train, one to wait and three to test; half a year a whole month."""
    split = default(FIRST, FIRST + timedelta(days=119), 7)
    assert (split.train_from - FIRST).days == 28
    assert (split.train_to - split.train_from).days + 1 == 58
    assert (split.test_to - split.test_from).days + 1 == 20
    assert default(FIRST, FIRST + timedelta(days=181), 7).train_from == FIRST + timedelta(days=30)


def test_a_test_before_labels_are_known_is_refused():
    """The error names the first day on which the test may begin."""
    with pytest.raises(InputError, match="2024-05-08"):
        Split(date(2024, 2, 1), date(2024, 4, 30), 7, date(2024, 5, 7), date(2024, 6, 30))


def test_days_out_of_order_are_refused():
    """A period that ends before it begins is refused."""
    with pytest.raises(InputError, match="out of order"):
        Split(date(2024, 4, 1), date(2024, 2, 1), 7, date(2024, 5, 8), date(2024, 6, 30))


def test_too_short_a_training_says_how_long():
    """A training that leaves nothing to fit before validation and gap says how many days are needed."""
    with pytest.raises(InputError, match="at least 19 days"):
        Split(date(2024, 4, 1), date(2024, 4, 8), 7, date(2024, 5, 8), date(2024, 6, 30)).inner()


def test_a_file_of_years_ago_and_live_traffic_are_two_periods():
    """The stretch with most payments is the period; short quiet times do not part it; an empty lake is an error."""
    file = {FIRST + timedelta(days=i): 1_000 for i in range(182) if i not in {50, 51, 52}}
    live = {date(2026, 11, 21): 3_000, date(2026, 11, 22): 9_000}
    assert busiest(file | live) == (FIRST, FIRST + timedelta(days=181))
    assert busiest(live) == (date(2026, 11, 21), date(2026, 11, 22))
    with pytest.raises(InputError, match="no payments"):
        busiest({})
