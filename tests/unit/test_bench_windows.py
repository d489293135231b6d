"""The windows that are measured are filled as cards fill them."""

import time
from collections import Counter

import pytest

from bench.deciding import windows
from bench.load.payments import Sample
from contracts.schemas import defaults
from features import DAY_US, Window

NOW_US = time.time_ns() // 1_000


@pytest.fixture
def sample() -> Sample:
    """A sample of one payment."""
    payment = defaults("transaction") | {
        "source": "acquirer",
        "transaction_id": "1",
        "card_id": "0" * 64,
        "event_time": NOW_US,
        "currency": "EUR",
        "message_type": "authorization",
        "amount_minor": 1_250,
    }
    return Sample([payment], NOW_US)


def test_cards_have_habits(sample: Sample) -> None:
    """Payments come in order over all the days, 2,500 a day, and some cards pay far more often than others."""
    history = windows.habits(sample, days=4)
    times = [payment["event_time"] for payment in history]
    a_card = Counter(payment["card_id"] for payment in history)
    assert len(history) == 4 * windows.A_DAY
    assert times == sorted(times)
    assert NOW_US - 4 * DAY_US <= times[0] < NOW_US - 3.9 * DAY_US
    assert len(a_card) > windows.CARDS * 0.9
    assert max(a_card.values()) > 5 * sorted(a_card.values())[len(a_card) // 2]


def test_every_payment_is_observed(sample: Sample) -> None:
    """Nothing that is timed is refused as late or as a repeat, which would cost less."""
    kept: dict[str, Window] = {}
    assert windows.observed(windows.habits(sample, days=1), kept) > 0
    assert sum(len(window.events) for window in kept.values()) == windows.A_DAY
    assert not any(window.late for window in kept.values())


def test_a_busy_card_has_a_full_window(sample: Sample) -> None:
    """From its 512th payment on the busy card's window is as full as a window gets."""
    kept: dict[str, Window] = {}
    busy = windows.one_card(sample, 3 * windows.FULL)
    windows.observed(busy[: windows.FULL], kept)
    assert [len(window.events) for window in kept.values()] == [windows.FULL]
    windows.observed(busy[windows.FULL :], kept)
    assert [len(window.events) for window in kept.values()] == [windows.FULL]
