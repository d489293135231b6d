"""Gold to Redis on real servers: what changed and no more, never older over newer, everything after an emptying."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
import uuid

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clients import delta, s3
from features import Status
from lake import tables
from serving.online.packing import Kind, Meta, pack, unpack
from serving.online.profiles import judge
from serving.online.writer import gold
from serving.online.writer.push import push, write
from serving.online.writer.verify import verify
from settings import PROJECT_DIR

DAY = dt.date(2024, 6, 1)
NOW = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
EPOCH_DAY = (DAY - dt.date(1970, 1, 1)).days
ENTITIES = {Kind.CARD: ("card_id", tables.CARD_FEATURES), Kind.ACCEPTOR: ("acceptor_id", tables.MERCHANT_RISK)}


@pytest.fixture
def client(valkey):
    """An empty Redis."""
    opened = valkey.client()
    opened.flushall()
    return opened


class Lake:
    """A copy of Silver and Gold under a prefix of its own, written with the key of the engine that owns them."""

    def __init__(self):
        self.options = delta.options("trino") | {"aws_conditional_put": "etag"}
        self.run = 0

    def clock(self, moment):
        """Set the platform's clock: the newest payment in Silver."""
        rows = pa.table(
            {
                "event_time": pa.array([moment - dt.timedelta(hours=1), moment], pa.timestamp("us", "UTC")),
                "event_day": pa.array([moment.date()] * 2, pa.date32()),
            }
        )
        write_deltalake(
            tables.TRANSACTIONS.path, rows, mode="overwrite", partition_by=["event_day"], storage_options=self.options
        )

    def gold(self, kind, names, day=DAY, value=1.0, *, mode="append"):
        """Write rows as a run of dbt does; each run has its own version and time."""
        self.run += 1
        name, table = ENTITIES[kind]
        count = len(names)
        values = {column: pa.array([value] * (count - 1) + [None], pa.float64()) for column in kind.columns}
        available = dt.datetime.combine(day, dt.time(3), dt.UTC)
        rows = pa.table(
            {
                name: names,
                "as_of_day": pa.array([day] * count, pa.date32()),
                "available_at": pa.array([available] * count, pa.timestamp("us", "UTC")),
                "updated_at": pa.array([NOW + dt.timedelta(seconds=self.run)] * count, pa.timestamp("us", "UTC")),
                "profile_version": pa.array([self.run] * count, pa.int64()),
                **values,
            }
        )
        write_deltalake(table.path, rows, mode=mode, partition_by=["as_of_day"], storage_options=self.options)


@pytest.fixture
def lake(stack, monkeypatch):
    """A copy of the lake with two cards and two acceptors on DAY, and rows of the days beside it."""
    monkeypatch.setenv("DBT_SCHEMA_PREFIX", f"w{uuid.uuid4().hex[:8]}_")
    made = Lake()
    made.clock(NOW)
    for kind, names in ((Kind.CARD, ["card-a", "card-b"]), (Kind.ACCEPTOR, ["s:m-a", "s:m-b"])):
        made.gold(kind, ["gone", "card-a"], DAY - dt.timedelta(days=1), 0.5)
        made.gold(kind, names)
        made.gold(kind, ["not-yet", "card-a"], DAY + dt.timedelta(days=1), 9.0)
    yield made
    for schema in ("silver", "gold"):
        for key in list(s3.keys(tables.folder(schema).removeprefix(f"{tables.root()}/") + "/", "trino")):
            s3.delete(key, "trino")


def online(client, kind, name):
    value = client.get(kind.prefix + name.encode())
    return unpack(kind, value) if value else None


def counts(client):
    return {kind: (done.sent, done.written) for done in push(client) for kind in [done.kind]}


def test_publishes_the_newest_available_day(lake, client):
    """Rows of the newest day available at the platform's clock go online, NULL as NaN; a later day's do not."""
    assert counts(client) == {Kind.CARD: (2, 2), Kind.ACCEPTOR: (2, 2)}
    row = online(client, Kind.CARD, "card-a")
    assert (row.day, set(row.values)) == (EPOCH_DAY, {1.0})
    assert np.isnan(online(client, Kind.CARD, "card-b").values).all()
    assert online(client, Kind.CARD, "not-yet") is None
    assert 44 * 86_400 < client.ttl(Kind.CARD.prefix + b"card-a") <= 45 * 86_400
    time_us = EPOCH_DAY * 86_400 * 1_000_000 + 1
    meta = client.get(Kind.CARD.meta_key)
    assert judge(Kind.CARD, meta, client.get(Kind.CARD.prefix + b"card-a"), time_us).status is Status.FRESH
    assert judge(Kind.CARD, meta, None, time_us).status is Status.NEW


def test_pushes_only_what_changed(lake, client):
    """A second push sends nothing; after a run that rewrote one card, that one."""
    counts(client)
    assert counts(client) == {Kind.CARD: (0, 0), Kind.ACCEPTOR: (0, 0)}
    lake.gold(Kind.CARD, ["card-c", "card-d"], value=2.0)
    assert counts(client) == {Kind.CARD: (2, 2), Kind.ACCEPTOR: (0, 0)}
    assert set(online(client, Kind.CARD, "card-c").values) == {2.0}


def test_next_day_replaces_the_last(lake, client):
    """When the platform's clock passes the next day's publication, that day goes online; who is not on it stays old."""
    counts(client)
    lake.clock(NOW + dt.timedelta(days=1))
    assert counts(client)[Kind.CARD] == (2, 2)
    assert online(client, Kind.CARD, "card-a").day == EPOCH_DAY + 1
    meta, old = client.get(Kind.CARD.meta_key), client.get(Kind.CARD.prefix + b"card-b")
    assert judge(Kind.CARD, meta, old, (EPOCH_DAY + 1) * 86_400_000_000).status is Status.NEW


def test_emptied_redis_gets_everything(lake, client):
    """The mark lives in Redis, so an emptied one is filled again, and a lost key is found by verify."""
    counts(client)
    client.flushall()
    assert counts(client) == {Kind.CARD: (2, 2), Kind.ACCEPTOR: (2, 2)}
    assert all(count.equal for count in verify(client).values())
    client.delete(Kind.CARD.prefix + b"card-a")
    found = verify(client)
    assert (found[Kind.CARD].missing, found[Kind.CARD].equal) == (1, False)


def test_other_features_are_replaced(lake, client):
    """Rows and meta of another schema hash do not count: everything is pushed over them."""
    counts(client)
    for kind in Kind:
        client.set(kind.meta_key, b"\1" * 8 + client.get(kind.meta_key)[8:])
    key = Kind.CARD.prefix + b"card-a"
    client.set(key, b"\1" * 8 + client.get(key)[8:])
    assert counts(client) == {Kind.CARD: (2, 2), Kind.ACCEPTOR: (2, 2)}
    assert all(count.equal for count in verify(client).values())


def test_commands(lake, valkey, client):
    """`feature-writer` and `feature-writer verify` as commands: figures, JSON, and exit 1 when they differ."""
    environment = os.environ | {"REDIS_URL": valkey.url}

    def run(*arguments):
        command = [sys.executable, "-m", "serving", "feature-writer", *arguments]
        return subprocess.run(command, env=environment, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    assert "card: 2 changed, 2 written" in done.stdout
    good = run("verify", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["card"] == {
        "gold": 2,
        "redis": 2,
        "dormant": 0,
        "missing": 0,
        "older": 0,
        "newer": 0,
        "different": 0,
    }
    ends = [run("verify").returncode for _ in range(5)]
    assert ends == [0] * 5, "threads that read the lake ended a command whose work was done"
    client.delete(Kind.ACCEPTOR.prefix + b"s:m-a")
    assert run("verify").returncode == 1
    away = subprocess.run(
        [sys.executable, "-m", "serving", "feature-writer"],
        cwd=PROJECT_DIR,
        capture_output=True,
        env=environment | {"REDIS_URL": "redis://127.0.0.1:9/0"},
        text=True,
        check=False,
    )
    assert away.returncode == 1
    assert "redis" in away.stderr


def rows(kind, entries):
    names, days, versions = zip(*entries, strict=True)
    values = np.array([[day * 1_000.0 + version] * len(kind.columns) for _, day, version in entries])
    packed = pack(kind, np.array(days, np.int32), np.array(versions), values)
    return gold.Rows([kind.prefix + name.encode() for name in names], packed, max(days), 1)


@given(
    st.sampled_from(list(Kind)),
    st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    ),
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)
def test_never_older_over_newer(valkey, kind, batches):
    """Whatever is written in whatever order, the newest (day, version) of each entity stands."""
    client = valkey.client()
    client.flushall()
    newest = {}
    for entries in batches:
        write(client, rows(kind, entries))
        for name, day, version in entries:
            newest[name] = max(newest.get(name, (-1, -1)), (day, version))
    for name, (day, version) in newest.items():
        row = online(client, kind, name)
        assert (row.day, row.version, row.values[0]) == (day, version, day * 1_000.0 + version)


def test_large_versions_are_compared_right(client):
    """Versions are milliseconds since 1970: one millisecond decides."""
    for version, stands in (
        (1_795_227_300_001, 1_795_227_300_001),
        (1_795_227_300_000, 1_795_227_300_001),
        (1_795_227_300_002, 1_795_227_300_002),
    ):
        write(client, rows(Kind.CARD, [("a", 5, version)]))
        assert online(client, Kind.CARD, "a").version == stands


def test_a_late_writer_does_not_turn_the_meta_back(lake, client):
    """A meta value of a later push is not overwritten by an earlier one."""
    ahead = Meta(EPOCH_DAY + 5, 2**50).pack()
    client.set(Kind.CARD.meta_key, ahead)
    list(push(client, full=True))
    assert client.get(Kind.CARD.meta_key) == ahead


def test_writes_by_the_thousand(client):
    """Sixty thousand entities are packed and written in one go, all of them, at no less than 10,000 a second here."""
    count = 60_000
    names = [f"{number:064x}" for number in range(count)]
    began = time.perf_counter()
    values = np.ones((count, len(Kind.CARD.columns)))
    packed = pack(Kind.CARD, np.full(count, 5, np.int32), np.ones(count, np.int64), values)
    keys = [Kind.CARD.prefix + name.encode() for name in names]
    assert write(client, gold.Rows(keys, packed, 5, 1)) == count
    assert client.dbsize() == count
    assert count / (time.perf_counter() - began) > 10_000
