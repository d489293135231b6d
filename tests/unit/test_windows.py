"""The window state: equal to a recount of all observed events, bounded, packed without loss."""

import math
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import windows
from errors import ContractError
from windows import (
    COLUMNS,
    DAY_US,
    EVENT,
    FASTEST_KMH,
    FORGOTTEN_US,
    HEAD,
    HOUR_US,
    LATENESS_US,
    MINUTE_US,
    MOST,
    Event,
    Place,
    Window,
    kilometres,
)

START = 1_700_000_000_000_000
GAPS = st.one_of(
    st.integers(-2 * LATENESS_US, 2 * LATENESS_US),
    st.sampled_from(
        [
            0,
            1,
            -1,
            5 * MINUTE_US,
            HOUR_US,
            HOUR_US - 1,
            DAY_US,
            DAY_US + LATENESS_US,
            31 * DAY_US,
            -LATENESS_US,
            -LATENESS_US - 1,
        ]
    ),
    st.integers(0, 3 * DAY_US),
)
PLACES = st.none() | st.builds(Place, st.integers(-90_000_000, 90_000_000), st.integers(-180_000_000, 180_000_000))


@st.composite
def arrivals(draw):
    """Events in the order of their arrival: late ones, repeats, ties and long silences among them."""
    moment, found = START, []
    for gap in draw(st.lists(GAPS, max_size=40)):
        moment = max(moment + gap, 0)
        identity = draw(st.integers(0, 30) | st.integers(0, 2**64 - 1))
        parts = draw(st.none() | st.integers(0, 10**15))
        found.append(Event(moment, identity, parts, draw(PLACES), draw(st.none() | st.booleans())))
    return found


def observed(events):
    """The events that count, in the order of their arrival, by the definition."""
    counted = []
    for event in events:
        kept = held(counted)
        newest = max((each.time_us for each in kept), default=event.time_us)
        is_repeat = event.id in {each.id for each in kept}
        is_late = event.time_us < newest - LATENESS_US
        is_beyond = len(kept) == windows.MOST and event.time_us <= kept[0].time_us
        if not (is_repeat or is_late or is_beyond):
            counted.append(event)
    return counted


def held(counted):
    """The newest 512 (windows.MOST), by time, then arrival, of: all of the last 24 h 10 min, and the one before."""
    ordered = sorted(counted, key=lambda each: each.time_us)
    if not ordered:
        return []
    edge = ordered[-1].time_us - DAY_US - LATENESS_US
    older = [each for each in ordered if each.time_us <= edge]
    return (older[-1:] + [each for each in ordered if each.time_us > edge])[-windows.MOST :]


def recount(counted, event):
    """Every feature by its definition, straight from the list."""
    kept = held(counted)
    if kept and event.time_us < kept[-1].time_us - LATENESS_US:
        return None
    before = [each for each in kept if each.time_us <= event.time_us]
    mine = [place for place, each in enumerate(before) if (each.time_us, each.id) == (event.time_us, event.id)]
    before = before[: mine[0]] if mine else before
    five, hour, day = (
        [each for each in before if event.time_us - span < each.time_us <= event.time_us]
        for span in (5 * MINUTE_US, HOUR_US, DAY_US)
    )
    money, recent = ([each.parts for each in span if each.parts is not None] for span in (day, hour))
    since = event.time_us - before[-1].time_us if before else math.inf
    placed = [each for each in day if each.place is not None]
    speed = math.nan
    if event.place and placed:
        far = kilometres(placed[-1].place, event.place)
        hours = max((event.time_us - placed[-1].time_us) / 1e6, 60) / 3600
        speed = 0.0 if far < 5 else min(far / hours, 2000)
    return (
        len(five),
        len(hour),
        len(day),
        sum(money) / 10_000 if money or not day else math.nan,
        sum(recent) / (10_000 * len(recent)) if recent else math.nan,
        max(recent) / 10_000 if recent else math.nan,
        since / 1e6 if since <= 30 * DAY_US else math.nan,
        speed,
        math.nan if event.high_risk is None else sum(each.high_risk is True for each in hour),
    )


def same(one, other):
    return (one is None) == (other is None) and (
        one is None or all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=True))
    )


@given(arrivals())
@example([Event(START + i, i, i, None, True) for i in range(MOST + 40)])
@example([Event(START, 99 - i, i, None, True) for i in range(6)])
@example([Event(START, i, i, None, True) for i in range(MOST + 40)])
@example([Event(START, 1, 5, None, None), Event(START + 31 * DAY_US, 2, 5, None, None)])
@settings(deadline=None)
def test_equal_to_a_recount(events):
    """After each arrival the features are exactly those of a recount, and so they are after packing and unpacking."""
    window, counted = Window(), []
    for event in events:
        expected = recount(counted, event)
        assert same(window.features(event), expected)
        assert same(Window.unpack(window.pack()).features(event), expected)
        counted, before = observed([*counted, event]), counted
        assert window.observe(event) == (counted != before)
    assert window.events == held(counted)


@given(arrivals(), st.integers(2, 6))
@settings(deadline=None)
def test_equal_to_a_recount_when_full(events, most):
    """So they are when events push one another off, and what was pushed off or is kept never comes back."""
    with mock.patch.object(windows, "MOST", most):
        window = Window()
        for number, event in enumerate(events):
            counted = observed(events[:number])
            assert same(window.features(event), recount(counted, event))
            window.observe(event)
            assert window.events == held(observed(events[: number + 1]))


@given(arrivals(), st.integers(2, 600), st.data())
@settings(deadline=None)
def test_a_redelivery_changes_nothing(events, most, data):
    """An event that was taken in and comes again, at once or much later, leaves what is kept as it is."""
    with mock.patch.object(windows, "MOST", most):
        window, taken = Window(), []
        for event in events:
            if window.observe(event):
                taken.append(event)
            again, kept = data.draw(st.sampled_from(taken)), window.events
            assert not window.observe(again)
            assert window.events == kept


@given(arrivals())
@settings(deadline=None)
def test_bounded_and_lossless(events):
    """However many events come, the state is at most 512 of them, and its bytes say all of it."""
    window = Window()
    for event in events * 3:
        window.observe(event)
    packed = window.pack()
    assert len(packed) == HEAD.size + EVENT.size * len(window.events)
    assert len(window.events) <= MOST
    again = Window.unpack(packed)
    assert (again.events, again.late) == (window.events, window.late)


@given(st.permutations([Event(START + i * MINUTE_US // 2, i, i, None, False) for i in range(12)]))
def test_order_within_the_lateness_makes_no_difference(events):
    """Events that come within ten minutes of each other give the same state in every order."""
    window, ordered = Window(), Window()
    for event in events:
        assert window.observe(event)
    for event in sorted(events):
        ordered.observe(event)
    assert window.events == ordered.events


def test_a_repeat_is_observed_once_and_never_counts_for_itself():
    """The same payment again changes nothing, and its features are those of its first time."""
    window, event = Window(), Event(START, 7, 100, None, True)
    first = window.features(event)
    assert window.observe(event)
    assert not window.observe(event)
    assert same(window.features(event), first)
    assert len(window.events) == 1


def test_too_late_is_counted_not_observed():
    """An event more than ten minutes behind the card's newest has no window, is not taken in, and is counted."""
    window = Window()
    window.observe(Event(START, 1, None, None, None))
    late = Event(START - LATENESS_US - 1, 2, None, None, None)
    assert window.features(late) is None
    assert not window.observe(late)
    assert (window.late, len(window.events)) == (1, 1)


def test_a_first_payment_and_a_forgotten_card():
    """Without events counts and sum are 0 and the rest is missing; after 30 days the last payment is forgotten."""
    window = Window()
    event = Event(START, 1, 100, Place(0, 0), True)
    expected = (
        dict.fromkeys(COLUMNS, math.nan)
        | {"high_risk_merchant_count_1hr": 0.0}
        | dict.fromkeys(("tx_count_5min", "tx_count_1hr", "tx_count_24hr", "amount_sum_24hr"), 0.0)
    )
    assert same(window.features(event), tuple(expected.values()))
    window.observe(event)
    assert window.features(event._replace(time_us=START + FORGOTTEN_US, id=2))[6] == FORGOTTEN_US / 1e6
    assert math.isnan(window.features(event._replace(time_us=START + FORGOTTEN_US + 1, id=2))[6])


@pytest.mark.parametrize(
    ("there", "after_s", "speed"),
    [
        (Place(52_520_000, 13_405_000), 3600, pytest.approx(878, abs=2)),  # Paris to Berlin in an hour
        (Place(52_520_000, 13_405_000), 1, FASTEST_KMH),
        (Place(48_857_000, 2_400_000), 1, 0.0),  # across the city
        (None, 3600, math.nan),
    ],
)
def test_speed(there, after_s, speed):
    """Kilometres an hour between card-present places: none under 5 km, at most 2,000, none without a place."""
    window = Window()
    window.observe(Event(START, 1, None, Place(48_857_000, 2_352_000), None))
    found = window.features(Event(START + after_s * 1_000_000, 2, None, there, None))[7]
    assert math.isnan(found) if isinstance(speed, float) and math.isnan(speed) else found == speed


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01" + bytes(6), b"\x02\x01\x00" + bytes(4)])
def test_foreign_bytes_are_refused(value):
    """Bytes that are no window of this version are an error, never an empty window."""
    with pytest.raises(ContractError, match=r"version|bytes"):
        Window.unpack(value)
