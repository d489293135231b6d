"""The training set as of a moment, on small Delta tables in a folder."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from errors import InputError
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, DAY_US, HOUR_US
from lake import point_in_time as pit
from lake.tables import CARD_FEATURES, LABEL_EVENTS, MERCHANT_RISK, TRANSACTIONS, Table
from settings import definitions

MOMENT = pa.timestamp("us", tz="UTC")
NUMBERS = {"amount_minor", "billing_amount_minor"}
START = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
PAYMENT = pa.schema(
    [
        *(
            (
                name,
                MOMENT
                if name == "event_time"
                else pa.int64()
                if name in NUMBERS
                else pa.int32()
                if name == "utc_offset_min"
                else pa.float64()
                if name in {"latitude", "longitude"}
                else pa.string(),
            )
            for name in pit.RECORD
        ),
        ("acceptor_id", pa.string()),
        ("event_day", pa.date32()),
    ]
)
LABEL = pa.schema(
    [
        ("source", pa.string()),
        ("transaction_id", pa.string()),
        ("verdict", pa.string()),
        ("known_at", MOMENT),
        ("origin", pa.string()),
        ("ingested_at", MOMENT),
        ("source_partition", pa.int32()),
        ("source_offset", pa.int64()),
    ]
)
Row = dict[str, Any]


def payment(name: str, time_us: int, **more: object) -> Row:
    moment = datetime.fromtimestamp(time_us / 1e6, UTC)
    return {
        "source": "b",
        "transaction_id": name,
        "event_time": moment,
        "event_day": moment.date(),
        "card_id": "c",
        "amount_minor": 100,
        "currency": "USD",
        "message_type": "authorization",
        "acceptor_id": "b:m",
    } | more


def label(name: str, verdict: str, known_us: int, origin: str = "file", offset: int = 0) -> Row:
    return {
        "source": "b",
        "transaction_id": name,
        "verdict": verdict,
        "origin": origin,
        "source_partition": 0,
        "known_at": datetime.fromtimestamp(known_us / 1e6, UTC),
        "source_offset": offset,
        "ingested_at": datetime(2024, 4, 1, tzinfo=UTC),
    }


def profile(entity: str, key: str, columns: tuple[str, ...], day: date, value: float | None) -> Row:
    return {entity: key, "as_of_day": day, "profile_version": day.day, **dict.fromkeys(columns, value)}


@pytest.fixture
def lake(tmp_path: Path) -> Any:
    """Return a function that writes the four tables and pins them."""

    def write(payments: list[Row], labels: list[Row], days: list[date]) -> pit.Snapshot:
        def profiles(entity: str, key: str, columns: tuple[str, ...]) -> pa.Table:
            schema = pa.schema(
                [
                    (entity, pa.string()),
                    ("as_of_day", pa.date32()),
                    ("profile_version", pa.int64()),
                    *((column, pa.float64()) for column in columns),
                ]
            )
            return pa.Table.from_pylist([profile(entity, key, columns, day, float(day.day)) for day in days], schema)

        written: dict[Table, tuple[pa.Table, str | None]] = {
            TRANSACTIONS: (pa.Table.from_pylist(payments, PAYMENT), "event_day"),
            LABEL_EVENTS: (pa.Table.from_pylist(labels, LABEL), None),
            CARD_FEATURES: (profiles("card_id", "c", CARD_COLUMNS), "as_of_day"),
            MERCHANT_RISK: (profiles("acceptor_id", "b:m", ACCEPTOR_COLUMNS), "as_of_day"),
        }
        for table, (rows, partition) in written.items():
            write_deltalake(tmp_path / str(table), rows, partition_by=[partition] if partition else None)
        return pit.Snapshot({table: DeltaTable(tmp_path / str(table)) for table in written})

    return write


def test_the_row_of_exactly_the_published_day_is_joined(lake: Any) -> None:
    """Until the publish delay is over, a payment meets the profile of the day before; a missing day is no older row."""
    delay = definitions().publish_delay_hours * HOUR_US
    day = date(2024, 3, 1)
    snapshot = lake(
        [
            payment("before", START + delay - 1000),
            payment("after", START + delay),
            payment("new", START + 2 * DAY_US + delay),
            payment("nobody", START + delay + 1000, acceptor_id=None),
        ],
        [],
        [day - timedelta(days=1), day],
    )
    rows = {
        row["transaction_id"]: row
        for chunk in pit.payments(snapshot, START, START + 3 * DAY_US)
        for row in chunk.to_pylist()
    }
    epoch_day = START // DAY_US
    assert {name: row["card_as_of_day"] for name, row in rows.items()} == {
        "before": epoch_day - 1,
        "after": epoch_day,
        "nobody": epoch_day,
        "new": None,
    }
    assert rows["before"][CARD_COLUMNS[0]] == 29.0
    assert rows["after"][ACCEPTOR_COLUMNS[0]] == 1.0
    assert rows["nobody"]["acceptor_as_of_day"] is None
    assert rows["new"][CARD_COLUMNS[0]] is None


def test_labels_are_those_known_before(lake: Any) -> None:
    """A label counts from the moment after it became known; the latest wins, an analyst beats a file."""
    snapshot = lake(
        [payment(name, START) for name in ("late", "tie", "back", "quiet")],
        [
            label("late", "fraud", START + DAY_US),
            label("tie", "fraud", START + 1, offset=9),
            label("tie", "genuine", START + 1, "analyst"),
            label("back", "fraud", START + 1),
            label("back", "genuine", START + 2),
        ],
        [],
    )

    def status(as_of: int) -> dict[str, str]:
        chunks = pit.training_set(snapshot, START, START + DAY_US, as_of)
        return {row["transaction_id"]: row["label_status"] for chunk in chunks for row in chunk.to_pylist()}

    soon = {"late": "open", "tie": "genuine_confirmed", "back": "fraud", "quiet": "open"}
    assert status(START + 2) == soon
    assert status(START + DAY_US) == soon | {"back": "genuine_confirmed"}
    mature = START + definitions().maturity_days * DAY_US
    assert status(mature)["quiet"] == "open"
    assert status(mature + 1) == {
        "late": "fraud",
        "tie": "genuine_confirmed",
        "back": "genuine_confirmed",
        "quiet": "presumed_genuine",
    }


def test_chunks_cover_the_range_once_and_in_order(lake: Any) -> None:
    """Every payment of [start, end) comes once, sorted by time, however many chunks there are."""
    times = [START + n * 7 * DAY_US + n for n in range(12)]
    snapshot = lake([payment(f"p{n:02}", time) for n, time in enumerate(times)], [], [])
    chunks = list(pit.payments(snapshot, times[1], times[-1]))
    found = [row["transaction_id"] for chunk in chunks for row in chunk.to_pylist()]
    assert len(chunks) > 1
    assert found == [f"p{n:02}" for n in range(1, 11)]


def test_span_and_versions_name_what_was_read(lake: Any) -> None:
    """A training run can say which days and which table versions it saw; an empty lake is an error that helps."""
    snapshot = lake([payment("one", START)], [label("one", "fraud", START + 5)], [date(2024, 3, 1)])
    assert pit.span(snapshot) == pit.Span(
        date(2024, 3, 1), date(2024, 3, 1), START, date(2024, 3, 1), date(2024, 3, 1), START + 5
    )
    tables = (TRANSACTIONS, LABEL_EVENTS, CARD_FEATURES, MERCHANT_RISK)
    assert snapshot.versions() == {str(table): 0 for table in tables}


def test_an_empty_lake_says_what_to_do(lake: Any) -> None:
    """Without payments there is nothing to train on, and the error names the command that brings them."""
    with pytest.raises(InputError, match="dbt build"):
        pit.span(lake([], [], []))
