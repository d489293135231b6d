"""The windows of training are those that were served: the same state machine, in the order of arrival."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ml.parallel
from contracts.arrival import observed
from epoch import from_us
from errors import ServerError
from features import DAY_US, NOT_ATTEMPTS, Window, observe, windowed
from lake import reading
from lake.point_in_time import Snapshot, pin
from lake.tables import BRONZE_TRANSACTIONS
from ml.dataset.card_records import by_card
from ml.dataset.vectors import WINDOW_COLUMNS
from ml.dataset.window_replay import attach, replay
from streaming.columns import bronze_schema

START = 1_717_200_000_000_000
END = START + 3 * DAY_US
MINUTE_US = 60_000_000


def payment(name, time_us, card="c0", **more):
    return {
        "source": "shop",
        "transaction_id": name,
        "event_time": time_us,
        "card_id": card,
        "amount_minor": 1_000,
        "currency": "USD",
        "message_type": "authorization",
    } | more


def traffic(seed, n=200):
    """Payments of few cards as they came: late, repeated, conflicting, given back, of before and after the period."""
    draw = random.Random(seed)
    moment, found = START - 2 * DAY_US, [payment("old", START - 40 * DAY_US), payment("month", START - 31 * DAY_US)]
    for i in range(n):
        moment += draw.choice([0, 1, MINUTE_US, 5 * MINUTE_US, 180 * MINUTE_US])
        if found and draw.random() < 0.1:
            again = draw.choice(found[-20:])
            found.append(again if draw.random() < 0.6 else again | {"amount_minor": 7, "card_id": draw.choice("ab")})
            continue
        behind = draw.choice([0] * 20 + [9, 10, 11, 200]) * MINUTE_US
        if draw.random() < 0.01 and moment > END - DAY_US:
            behind = -DAY_US
        found.append(
            payment(
                f"t{i}",
                moment - behind + draw.randrange(2),
                draw.choice(["a", "b", "c0"]),
                amount_minor=draw.randrange(100_000),
                mcc=draw.choice([None, "5411", "7995"]),
                message_type=draw.choice(
                    ["authorization"] * 6 + ["advice", "refund", "reversal", "verification", None]
                ),
                entry_mode=draw.choice(["chip", "ecommerce"]),
                latitude=draw.uniform(-60, 60),
                longitude=draw.uniform(-179, 179),
                currency=draw.choice(["USD", "JPY", "BHD"]),
                billing_amount_minor=draw.choice([None, 1_234]),
                billing_currency="EUR",
                merchant_country="US",
            )
        )
    return found


def arrived(payments, seed=0):
    """The same as rows of Bronze, in the order of their arrival: by card in two partitions, in batches."""
    draw, offsets, rows, batch = random.Random(seed), [0, 0], [], 0
    for record in payments:
        batch += draw.random() < 0.1
        partition = ord(record["card_id"][0]) % 2
        ingested = datetime(2024, 7, 1, tzinfo=UTC) + timedelta(seconds=batch)
        rows.append(
            record
            | {
                # Now and then the sender's clock was ahead.
                "kafka_timestamp": from_us(record["event_time"] + draw.choice([MINUTE_US] * 9 + [-9 * MINUTE_US])),
                "source_partition": partition,
                "source_offset": offsets[partition],
                "batch_id": batch,
                "ingested_at": ingested,
                "ingested_date": ingested.date(),
            }
        )
        offsets[partition] += 1
    return sorted(rows, key=lambda row: (row["ingested_at"], row["source_partition"], row["source_offset"]))


def pinned(folder, rows, seed=0):
    """Bronze with these rows, in no order."""
    mixed = random.Random(seed).sample(rows, len(rows))
    half = len(mixed) // 2
    for part in (mixed[:half], mixed[half:]):
        table = pa.Table.from_pylist(part, bronze_schema("transactions"))
        write_deltalake(folder, table, partition_by=["ingested_date"], mode="append")
    return Snapshot({BRONZE_TRANSACTIONS: DeltaTable(folder)})


def served(rows):
    """Status and values for each payment of the period, by a plain loop over everything that came."""
    windows, found, seen = defaultdict(Window), {}, set()
    for row in rows:
        key, window = (row["source"], row["transaction_id"]), windows[row["card_id"]]
        scored = START <= row["event_time"] < END and row["message_type"] not in NOT_ATTEMPTS
        if scored and key not in seen:
            profile = windowed(row, window, event=observed(row, arrived_us(row)))
            found[key] = (profile.status.value, profile.values or (np.nan,) * len(WINDOW_COLUMNS))
        seen.add(key)
        observe(window, row, observed(row, arrived_us(row)))
    return found


def arrived_us(row):
    return round(row["kafka_timestamp"].timestamp() * 1_000_000)


def test_a_fast_clock_shuts_no_window(tmp_path):
    """A payment from a clock nine minutes ahead is observed when it arrived: the next one of its card is not late."""
    fast, honest = payment("fast", START + 9 * MINUTE_US), payment("honest", START - 2 * MINUTE_US)
    rows = arrived([fast, honest])
    rows[0]["kafka_timestamp"], rows[1]["kafka_timestamp"] = from_us(START), from_us(START + MINUTE_US)
    found = as_served(replay(pinned(tmp_path, rows), START - DAY_US, END))
    assert [found["shop", name][0] for name in ("fast", "honest")] == ["fresh", "fresh"]


def as_served(table):
    columns = (table.column(name).to_pylist() for name in ("source", "transaction_id", "window_status"))
    numbers = zip(*(table.column(name).to_pylist() for name in WINDOW_COLUMNS), strict=True)
    return {(source, name): (status, row) for source, name, status, row in zip(*columns, numbers, strict=True)}


def same(one, other):
    assert one.keys() == other.keys()
    for key, (status, values) in one.items():
        assert other[key][0] == status, key
        assert np.array_equal(values, other[key][1], equal_nan=True), (key, values, other[key][1])


@given(st.integers(0, 2**32))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_replay_equals_a_plain_loop(tmp_path_factory, seed):
    """Late, repeated, conflicting, refunded, from before or after the period: to the bit what a plain loop says."""
    rows = arrived(traffic(seed), seed)
    expected = served(rows)
    found = replay(pinned(tmp_path_factory.mktemp("bronze"), rows, seed), START, END)
    assert found.num_rows == len(expected)
    same(expected, as_served(found))


def test_other_processes_replay_the_same(tmp_path, monkeypatch):
    """Cards spread over several processes give what one gives, and progress counts every payment once."""
    rows = arrived(
        [
            record | {"source": f"shop{copy}", "card_id": f"{record['card_id']}{copy}"}
            for copy in range(8)
            for record in traffic(copy)
        ]
    )
    monkeypatch.setattr(ml.parallel, "CHUNK", 100)
    monkeypatch.setattr(ml.parallel, "ALONE", 200)
    done = []
    found = replay(pinned(tmp_path, rows), START, END, done.append)
    same(served(rows), as_served(found))
    assert set(found.column("window_status").to_pylist()) == {"fresh", "late"}
    assert len(done) > 4
    assert sum(done) == found.num_rows


def test_a_chunk_holds_whole_cards(tmp_path, monkeypatch):
    """However small chunks are, a card is in one of them only, in the order of its arrival."""
    monkeypatch.setattr(ml.parallel, "CHUNK", 10)
    records = [payment(f"{i:04}", START + i, card=f"c{i * i % 7}") for i in range(200)]
    chunks = list(by_card(pinned(tmp_path, arrived(records)), START, END))
    cards = [card for chunk in chunks for card in chunk.column("card_id").unique().to_pylist()]
    assert len(chunks) > 2
    assert len(cards) == len(set(cards))
    assert sum(chunk.num_rows for chunk in chunks) == 200
    for chunk in chunks:
        ids = list(zip(chunk.column("card_id").to_pylist(), chunk.column("transaction_id").to_pylist(), strict=True))
        assert ids == sorted(ids)


def test_a_topic_made_anew_comes_after_the_old_one(tmp_path):
    """Where offsets begin again at 0, what was ingested later still came later."""
    rows = arrived([payment("first", START), payment("second", START + MINUTE_US)])
    rows[0]["source_offset"], rows[1]["source_offset"] = 900, 0
    rows[1]["ingested_at"] += timedelta(days=1)
    found = as_served(replay(pinned(tmp_path, rows), START, END))
    assert found["shop", "second"][1][0] == 1.0


def test_a_payment_rounded_into_the_period_has_its_window(tmp_path):
    """Silver rounds to milliseconds: a payment of the last half millisecond before the period may be in it there."""
    rows = arrived([payment("edge", START - 400)])
    assert replay(pinned(tmp_path, rows), START, END).column("transaction_id").to_pylist() == ["edge"]


def test_bronze_is_pinned_last(monkeypatch):
    """One training set is one set of versions, and Bronze's is not older than Silver's."""
    opened = []
    monkeypatch.setattr(reading, "open_table", opened.append)
    assert list(pin().tables) == opened
    assert opened[-1] == BRONZE_TRANSACTIONS


def test_nothing_in_the_period_is_an_empty_table(tmp_path):
    """A period without payments gives no windows, and no error of its own."""
    rows = arrived([payment("old", START - DAY_US)])
    found = replay(pinned(tmp_path, rows), START, END)
    assert found.num_rows == 0
    assert found.column_names[3:] == list(WINDOW_COLUMNS)


def test_windows_find_their_payments(tmp_path):
    """Each payment gets its own window whatever the order, a refund none; a payment without one is an error."""
    records = [payment(f"t{i}", START + i * MINUTE_US, message_type="refund" if i == 3 else "advice") for i in range(9)]
    windows = replay(pinned(tmp_path, arrived(records)), START, END)
    table = pa.Table.from_pylist(records).select(["source", "transaction_id", "message_type"])
    chunks = list(attach([table.slice(5), table.slice(0, 5)], windows.take(pa.array([7, 1, 2, 0, 4, 3, 6, 5]))))
    counts = [0, 1, 2, None, 3, 4, 5, 6, 7]
    assert pa.concat_tables(chunks).column("tx_count_1hr").to_pylist() == [*counts[5:], *counts[:5]]
    assert chunks[1].column("window_status").to_pylist() == ["fresh"] * 3 + [None, "fresh"]
    some = windows.filter(pc.greater(windows.column("tx_count_1hr"), 2))
    with pytest.raises(ServerError, match=r"3 of 9 payments .*lake balance"):
        list(attach([table], some))
