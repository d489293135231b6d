"""A small lake whose decisions the online code made: three days with late payments, outages, a loss and a rewrite."""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

import features
from contracts import schemas
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS, DAY_US, HOUR_US, SECOND_US, Profile, Status
from lake.tables import BRONZE_DECISIONS, BRONZE_TRANSACTIONS, CARD_FEATURES, MERCHANT_RISK, Table
from serving.decide.decision import InUse, Known, decide
from serving.decide.stages import Clock
from serving.online.packing import Kind, Meta, pack
from serving.online.profiles import ABSENT, UNREACHABLE, judge
from serving.online.windows import Card
from serving.stream.intake import Arrival
from serving.stream.observer import MEMORY_S, take_in
from streaming.columns import bronze_schema

MINUTE_US = 60 * SECOND_US
DAYS = 3
PARTITIONS = 4
PUSHED_US = 3 * HOUR_US + 6 * MINUTE_US
"""When a day's profiles are online: six minutes later than they are due."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


@dataclass
class Made:
    """The tables, pinned, and what befell: places (partition, offset) of decisions by what was wrong then."""

    tables: dict[Table, DeltaTable]
    start_us: int
    decisions: int
    cards: list[str]
    befell: dict[str, set[tuple[int, int]]] = field(default_factory=dict)


def make(folder: Path, count: int, cards: int, seed: int = 1, *, faults: bool = True) -> Made:
    """Write `count` payments of the last three days, the decisions on them, and Gold as it was and is."""
    start_us = (int(datetime.now(UTC).timestamp()) // 86_400 - DAYS) * DAY_US
    names, shops = [f"{n:064x}" for n in range(cards)], [f"m{n}" for n in range(max(60, cards // 5))]
    gold = Gold(start_us, names, shops, seed)
    log = _log(count, names, shops, start_us, seed)
    online = Online(gold, log, start_us, faults)
    records = [online.decide(arrival) for arrival in log]
    made = [record for record in records if record]
    _write(folder, BRONZE_TRANSACTIONS, [_bronze(each) for each in log], "transactions")
    landed = {"ingested_date": date(2026, 1, 1), "source_partition": 0}
    rows = [schemas.defaults("decision") | each | landed | {"source_offset": n} for n, each in enumerate(made)]
    for row in rows:
        row["decided_at"], row["event_time"] = _moment(row["decided_at"]), _moment(row["event_time"])
    _write(folder, BRONZE_DECISIONS, rows, "decisions")
    gold.write(folder)
    return Made(opened(folder), start_us, len(made), names, online.befell)


def opened(folder: Path) -> dict[Table, DeltaTable]:
    """Return the tables at their newest versions."""
    tables = (BRONZE_DECISIONS, CARD_FEATURES, MERCHANT_RISK, BRONZE_TRANSACTIONS)
    return {table: DeltaTable(folder / str(table)) for table in tables}


class Gold:
    """Profile rows of every day as a first run wrote them, and those of the last day as a later run wrote again."""

    def __init__(self, start_us: int, cards: list[str], shops: list[str], seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.first_day = start_us // DAY_US
        entities = {Kind.CARD: cards, Kind.ACCEPTOR: [f"trial:{each}" for each in shops]}
        self.rows: dict[Kind, dict[tuple[str, int], tuple[int, list[float]]]] = {}
        self.again: dict[Kind, dict[tuple[str, int], tuple[int, list[float]]]] = {}
        for kind, names in entities.items():
            width = len(kind.columns)
            found = {}
            for day in range(self.first_day - 1, self.first_day + DAYS):
                for name in names:
                    if draw.random() < 0.85:
                        values = np.where(draw.random(width) < 0.1, np.nan, draw.random(width) * 100)
                        found[name, day] = (self.version(day), values.tolist())
            last = self.first_day + DAYS - 1
            self.rows[kind] = found
            self.again[kind] = {
                (name, last): (self.rewritten_us // 1_000, (draw.random(width) * 100).tolist())
                for name in names
                if draw.random() < 0.2
            }

    def version(self, day: int) -> int:
        """Return the version of a day's rows: when the run that made them began (UTC ms)."""
        return (day * DAY_US + 3 * HOUR_US + 2 * MINUTE_US) // 1_000

    @property
    def rewritten_us(self) -> int:
        """When the run began that wrote some rows of the last day again (UTC us)."""
        return (self.first_day + DAYS - 1) * DAY_US + 12 * HOUR_US

    def write(self, folder: Path) -> None:
        """Write each table as the first run left it, and over it as it is now."""
        for kind, table, entity, columns in (
            (Kind.CARD, CARD_FEATURES, "card_id", CARD_COLUMNS),
            (Kind.ACCEPTOR, MERCHANT_RISK, "acceptor_id", ACCEPTOR_COLUMNS),
        ):
            for rows in (self.rows[kind], self.rows[kind] | self.again[kind]):
                made = [
                    {entity: name, "as_of_day": date(1970, 1, 1) + timedelta(days=day), "profile_version": version}
                    | {c: None if np.isnan(v) else v for c, v in zip(columns, values, strict=True)}
                    for (name, day), (version, values) in rows.items()
                ]
                schema = pa.schema(
                    [
                        (entity, pa.string()),
                        ("as_of_day", pa.date32()),
                        ("profile_version", pa.int64()),
                        *((column, pa.float64()) for column in columns),
                    ]
                )
                write_deltalake(
                    folder / str(table),
                    pa.Table.from_pylist(made, schema),
                    mode="overwrite",
                    partition_by=["as_of_day"],
                )


class Online:
    """What stands in Redis as time goes by, and what befalls it."""

    def __init__(self, gold: Gold, log: list[Arrival], start_us: int, faults: bool) -> None:
        self.gold, self.log, self.faults = gold, log, faults
        self.away = _span(start_us + DAY_US + 10 * HOUR_US, 10)
        self.lost = _span(start_us + 2 * DAY_US + 15 * HOUR_US, 5)
        self.stored: dict[Kind, dict[str, bytes]] = {kind: {} for kind in Kind}
        self.meta: dict[Kind, bytes] = {}
        self.windows: dict[str, Card] = {}
        self.missed: list[Arrival] = []
        self.pushed: set[int] = set()
        self.befell: dict[str, set[tuple[int, int]]] = {}
        self.rebuilt = False
        self._push(gold.first_day - 1, gold.rows, gold.version(gold.first_day - 1))

    def decide(self, arrival: Arrival) -> Row | None:
        """Return the record of the decision on a payment (None: none is due), and observe the payment."""
        self._advance(arrival.at_us)
        payment = arrival.payment
        card = self.windows.setdefault(payment["card_id"], Card(arrival.partition))
        acceptor = features.acceptor_id(payment)
        away = self.faults and arrival.at_us in self.away
        losing = self.faults and arrival.at_us in self.lost
        if away or losing:
            self.missed.append(arrival)
            window = UNREACHABLE if away else Profile(Status.STALE)
        else:
            window = features.windowed(payment, card.window, arrival.at_us)
            take_in(card, arrival)
        if not arrival.is_decided:
            return None
        time_us = payment["event_time"]
        found = [
            UNREACHABLE
            if away
            else judge(kind, self.meta.get(kind), self.stored[kind].get(name or ""), time_us)
            if name
            else ABSENT
            for kind, name in ((Kind.CARD, payment["card_id"]), (Kind.ACCEPTOR, acceptor))
        ]
        for what, holds in (("away", away), ("losing", losing), ("rebuilt", self.rebuilt)):
            if holds:
                self.befell.setdefault(what, set()).add((arrival.partition, arrival.offset))
        known = Known(features.build(payment, *found, window))
        (made,) = decide([arrival.subject("topic")], [known], InUse(None, None, None), arrival.at_us + 1_000, Clock())
        return made.record

    def _advance(self, now_us: int) -> None:
        day = (now_us - PUSHED_US) // DAY_US
        if day >= self.gold.first_day and day not in self.pushed:
            self.pushed.add(day)
            self._push(day, self.gold.rows, self.gold.version(day))
        if -1 not in self.pushed and now_us >= self.gold.rewritten_us + 5 * MINUTE_US:
            self.pushed.add(-1)
            self._push(self.gold.first_day + DAYS - 1, self.gold.again, self.gold.rewritten_us // 1_000)
        if self.missed and now_us not in self.away and now_us not in self.lost:
            self._catch_up(now_us)

    def _catch_up(self, now_us: int) -> None:
        """Observe what is missing; after the loss, the last 25 hours of the log before now."""
        if now_us > self.lost.start:
            begin = self.lost.start - MEMORY_S * SECOND_US
            self.windows, self.rebuilt = {}, True
            self.missed = [each for each in self.log if begin <= each.at_us < now_us]
        for each in self.missed:
            take_in(self.windows.setdefault(each.payment["card_id"], Card(each.partition)), each)
        self.missed = []

    def _push(self, day: int, rows: Any, mark_ms: int) -> None:
        for kind in Kind:
            found = [(name, row) for (name, each), row in rows[kind].items() if each == day]
            versions = np.array([version for _, (version, _) in found])
            values = np.array([row for _, (_, row) in found]).reshape(-1, len(kind.columns))
            packed = pack(kind, np.full(len(found), day, np.int32), versions, values)
            self.stored[kind] |= dict(zip((name for name, _ in found), packed, strict=True))
            self.meta[kind] = Meta(day, mark_ms * 1_000).pack()


def _log(count: int, cards: list[str], shops: list[str], start_us: int, seed: int) -> list[Arrival]:
    draw = random.Random(seed)
    weights = [draw.lognormvariate(0, 1.2) for _ in cards]
    owners = draw.choices(range(len(cards)), weights, k=count)
    span = DAYS * DAY_US - 2 * HOUR_US
    offsets, log, recent = [0] * PARTITIONS, [], []
    for number, owner in enumerate(owners):
        at_us = start_us + HOUR_US + number * span // count
        late = draw.choice([0] * 40 + [1, 5, 9, 11, 40, 2_000]) * MINUTE_US + draw.randrange(SECOND_US)
        payment = schemas.defaults("transaction") | {
            "source": "trial",
            "transaction_id": f"t{number}",
            "event_time": at_us - late,
            "card_id": cards[owner],
            "amount_minor": draw.randrange(1, 90_000),
            "currency": draw.choice(["USD", "EUR", "JPY"]),
            "message_type": draw.choice(["authorization"] * 20 + ["refund", "verification", "advice"]),
            "merchant_id": draw.choice(shops) if draw.random() < 0.9 else None,
            "terminal_id": draw.choice([None, "x1"]),
            "mcc": draw.choice(["5411", "7995", None]),
            "entry_mode": draw.choice(["chip", "ecommerce", None]),
            "authentication": draw.choice(["pin", None]),
            "merchant_country": draw.choice(["US", "BR", None]),
            "card_country": "US",
            "latitude": draw.uniform(30, 50),
            "longitude": draw.uniform(-120, -70),
        }
        if recent and draw.random() < 0.02:
            payment = draw.choice(recent[-50:])
        recent.append(payment)
        partition = int(payment["card_id"], 16) % PARTITIONS
        log.append(Arrival(partition, offsets[partition], at_us, b"", payment))
        offsets[partition] += 1
    return log


def _bronze(arrival: Arrival) -> Row:
    landed = _moment(arrival.at_us // (10 * SECOND_US) * 10 * SECOND_US + 20 * SECOND_US)
    return arrival.payment | {
        "event_time": _moment(arrival.payment["event_time"]),
        "kafka_timestamp": _moment(arrival.at_us),
        "source_partition": arrival.partition,
        "source_offset": arrival.offset,
        "source_topic": "transactions.raw",
        "ingested_at": landed,
        "ingested_date": landed.date(),
    }


def _write(folder: Path, table: Table, rows: list[Row], name: str) -> None:
    made = pa.Table.from_pylist(rows, bronze_schema(name))
    write_deltalake(folder / str(table), made, partition_by=["ingested_date"])


def _span(begin_us: int, minutes: int) -> range:
    return range(begin_us, begin_us + minutes * MINUTE_US)


def _moment(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)
