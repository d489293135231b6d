"""The pure parts of alerts and console: cursors, labels, troubles, the drawing of a card's payments."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.validation import check_label
from serving.desk.api import cursor
from serving.desk.api.models import Component, Payment
from serving.desk.api.pages import PAYMENT
from serving.desk.console import timeline
from serving.desk.health import troubles
from serving.desk.verdicts import labels
from serving.http.problems import ProblemError

AT = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)


@given(st.sampled_from(["recent", "loss"]), st.floats(0, 1e12), st.integers(1, 2**53))
def test_a_cursor_gives_back_its_place_to_the_bit(order, loss, number):
    """What is packed is unpacked exactly, and only in its own order."""
    packed = cursor.pack(order, loss, number)
    assert cursor.unpack(order, packed) == [loss, number]
    with pytest.raises(ProblemError):
        cursor.unpack("loss" if order == "recent" else "recent", packed)


@given(st.text(max_size=60))
def test_a_wrong_cursor_is_refused(text):
    """Any other text is a problem of the caller's, never an error of ours."""
    with pytest.raises(ProblemError) as caught:
        cursor.unpack("recent", text)
    assert caught.value.status == 422


def test_labels_of_a_disposition_are_valid_and_always_the_same():
    """Each payment becomes a label that the contract accepts; made again it is equal; unsure makes none."""
    payments = [{"source": "a", "transaction_id": name} for name in ("1", "2")]
    said = {"verdict": "fraud", "by": "j", "note": None, "known_at": AT, "payments": payments}
    made = labels.of(said)
    for label in made:
        check_label(label, label["known_at"] + 1)
    assert [labels.key(label) for label in made] == [b"a:1", b"a:2"]
    assert made == labels.of(said)
    assert labels.of(said | {"verdict": "unsure"}) == []


def test_every_part_that_is_not_well_is_a_trouble_with_advice():
    """Each part of the pipeline has its advice; parts that are well or not seen are no trouble; the worst are first."""
    names = list(troubles.ADVICE)
    found = troubles.troubles([Component(name=name, ok=False, said="gone") for name in reversed(names)])
    assert sorted(trouble.component for trouble in found) == sorted(names)
    severities = [trouble.severity for trouble in found]
    assert severities == sorted(severities, key=lambda severity: severity != "critical")
    assert troubles.troubles([Component(name="kafka", ok=ok, said="") for ok in (True, None)]) == []


def payments(*ago_s, **changes):
    """Return payments so many seconds before a moment."""
    return [Payment(**(PAYMENT | {"event_time": AT - timedelta(seconds=s)} | changes)) for s in ago_s]


def test_bars_do_not_overlap_and_stay_in_the_drawing():
    """Each payment is one visible bar of its own place, however close they are in time."""
    drawn = timeline.draw(payments(90_000, 300, 1, 0, amount=3.0), 41)
    edges = [(bar.x, bar.x + drawn.bar) for bar in drawn.bars]
    assert all(end < begin for (_, end), (begin, _) in pairwise(edges))
    assert edges[-1][1] <= drawn.width
    assert all(0 < bar.height <= drawn.base and bar.y >= 0 for bar in drawn.bars)
    assert [bar.gap for bar in drawn.bars] == ["", "1 d", "5 min", "1 s"]
    assert [bar.is_long for bar in drawn.bars] == [False, True, False, False]


@pytest.mark.parametrize("amount", [None, 0.0])
def test_payments_without_an_amount_are_drawn_too(amount):
    """A payment without a rate, or of nothing, is a small bar."""
    assert timeline.draw(payments(0, amount=amount), 1).bars[0].height > 0
