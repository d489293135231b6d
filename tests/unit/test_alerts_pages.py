"""The pure parts of alerts and console: cursors, labels, troubles, the drawing of a card's payments."""

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

import features
from contracts.validation import check_label
from serving.desk import money
from serving.desk.api import cursor, events
from serving.desk.api.models import Alert, Component, Payment
from serving.desk.api.pages import ALERT, PAYMENT
from serving.desk.console import timeline
from serving.desk.health import troubles, words
from serving.desk.health.progress import Progress
from serving.desk.health.words import NotWellError
from serving.desk.verdicts import labels
from serving.http.problems import ProblemError

AT = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)


KINDS = (cursor.flag, cursor.amount, cursor.number)
amounts = st.decimals(0, 10**15, places=2)


@given(st.sampled_from(["recent", "loss"]), st.booleans(), amounts, st.integers(0, cursor.LARGEST))
def test_a_cursor_gives_back_its_place_to_the_cent(order, unpriced, loss, number):
    """What is packed is unpacked exactly, and only in its own order."""
    packed = cursor.pack(order, unpriced, loss, number)
    assert cursor.unpack(order, packed, *KINDS) == [unpriced, loss, number]
    with pytest.raises(ProblemError):
        cursor.unpack("loss" if order == "recent" else "recent", packed, *KINDS)


@given(st.text(max_size=60))
def test_a_wrong_cursor_is_refused(text):
    """Any other text is a problem of the caller's, never an error of ours."""
    with pytest.raises(ProblemError) as caught:
        cursor.unpack("recent", text, *KINDS)
    assert caught.value.status == 422


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=6))
def test_a_cursor_of_anything_else_is_refused(value):
    """Whatever JSON stands in it: numbers beyond every id, NaN, lists in lists."""
    packed = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    with pytest.raises(ProblemError) as caught:
        cursor.unpack("recent", packed, *KINDS)
    assert caught.value.status == 422


@given(st.integers(0, 10**11), st.sampled_from(["USD", "EUR", "JPY", "KWD", "GBP"]))
def test_money_is_kept_to_the_decimals_of_the_reporting_currency(minor, currency):
    """An amount is decimal text with two decimals, within half a cent of what the features say."""
    paid = {"event_time": 1_795_227_300_000_000, "amount_minor": minor, "currency": currency}
    amount = features.amount(paid)
    exact = money.exact(amount)
    if exact is None:
        assert isnan(amount)
    else:
        assert abs(exact - Decimal(amount)) <= Decimal("0.005") + abs(Decimal(amount)) / 10**14
        assert re.fullmatch(r"[0-9]+\.[0-9]{2}", money.text(exact))
    assert money.exact(2333.8199999999997) == Decimal("2333.82")


def test_progress_is_seen_between_two_looks_only():
    """What stands still while something waits grows old from the first look on; what moves is young."""
    now = [100.0]
    progress = Progress(lambda: now[0])
    assert progress.still_s("stream", 7, waits=True) == 0.0
    now[0] = 160.0
    assert progress.still_s("stream", 7, waits=True) == 60.0
    assert progress.still_s("stream", 8, waits=True) == 0.0
    now[0] = 500.0
    assert progress.still_s("stream", 8, waits=False) == 0.0
    now[0] = 510.0
    assert progress.still_s("stream", 8, waits=True) == 10.0


def test_a_service_that_dies_at_each_start_is_not_well(tmp_path, monkeypatch):
    """Three starts within two minutes are a trouble, whatever its own file says; one is none."""
    monkeypatch.setattr(words, "lakehouse_home", lambda: tmp_path)
    (tmp_path / "status").mkdir()
    words.check_starts("stream")
    note = tmp_path / "status" / "starts-stream.json"
    note.write_text(json.dumps({"count": 1, "recent": [time.time()]}))
    words.check_starts("stream")
    note.write_text(json.dumps({"count": 9, "recent": [time.time() - n for n in (500, 40, 20, 1)]}))
    with pytest.raises(NotWellError, match="3 times"):
        words.check_starts("stream")


def test_an_event_is_one_event_whatever_line_ends_are_in_it():
    """Carriage returns in a sentence, as JSON or drawn as a row, begin no field of their own."""
    alert = Alert(**(ALERT | {"reasons": [{"code": "rule", "text": "a\rdata: b\r\nid: 9\n\nc"}]}))
    for render in (None, lambda each: each.reasons[0].text):
        lines = events.event(alert, render).decode().split("\n")
        assert all(line == "" or line.startswith(("data: ", "event: alert", "id: 1207")) for line in lines)
        assert b"\r" not in events.event(alert, render)


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
