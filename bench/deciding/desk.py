"""The console's queue over millions of decisions, in a database of its own: the page of before, and the one of now.

One set of rows is written under the first schema, what the queue page asked PostgreSQL then is timed on it, the newest
schema is brought in as the sink does it, and the page of today is timed on the same rows, by SQL and over HTTP.
"""

import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import quantiles
from typing import Any, LiteralString

import httpx
import psycopg
from psycopg import sql

from bench import stack
from bench.figures import Figure, Section, at_most
from errors import UnreachableError
from settings import PROJECT_DIR, settings

SCHEMA = PROJECT_DIR / "serving" / "desk" / "sink" / "schema"
DAYS = 30
SUSPECT, PER_ALERT, OPEN = 100, 2, 20
"""Each 100th payment is not approved, two of these are one alert, each 20th alert is open."""
RUNS, WITHIN_MS = 20, 300.0
START_S = 60.0
FILL: tuple[LiteralString, ...] = (
    "DROP INDEX decisions_by_card, decisions_by_payment, decisions_by_alert, decisions_by_time",
    "ALTER TABLE decisions DROP CONSTRAINT decisions_pkey, DROP CONSTRAINT decisions_alert_id_fkey",
    """INSERT INTO decisions
        SELECT n %% 4, n, 'acquirer-' || n %% 5, 'pay-' || n, repeat(md5((n %% 200000)::text), 2), at, at,
            CASE WHEN n %% %(suspect)s > 0 THEN 'approve' WHEN n %% 3 = 0 THEN 'block' ELSE 'review' END, 'model',
            0.2 + (n %% 7) / 10.0, 0.5, (n %% 90000) / 100.0, n %% 90000, 'USD', 'acquirer-1:M-' || n %% 5000, '5732',
            'US', 'ecommerce', null, null, n %% 500 = 0, '3',
            CASE WHEN n %% %(suspect)s > 0 THEN '[]'::jsonb ELSE
            '[{"code": "velocity", "text": "6 payments in 5 minutes; its usual day has 2", "weight": 2.1}]' END,
            CASE WHEN n %% %(suspect)s = 0 THEN 1 + n / %(suspect)s / %(per_alert)s END, null
        FROM (SELECT n, now() - (%(rows)s - n) * (%(days)s * interval '1 day' / %(rows)s) AS at
            FROM generate_series(1, %(rows)s) AS n) AS made""",
    """INSERT INTO alerts
        SELECT alert_id, min(card_id), min(event_time), max(event_time),
            CASE WHEN alert_id %% %(open)s = 0 THEN 'open' WHEN alert_id %% 3 = 0 THEN 'fraud' ELSE 'genuine' END,
            'review', count(*), sum(amount), sum(score * amount), max(score), nextval('changes')
        FROM decisions WHERE alert_id IS NOT NULL GROUP BY alert_id""",
    "ALTER TABLE decisions ADD PRIMARY KEY (payment_partition, payment_offset)",
    "CREATE INDEX decisions_by_card ON decisions (card_id, event_time DESC)",
    "CREATE INDEX decisions_by_payment ON decisions (transaction_id)",
    "CREATE INDEX decisions_by_alert ON decisions (alert_id) WHERE alert_id IS NOT NULL",
    "CREATE INDEX decisions_by_time ON decisions USING brin (decided_at)",
)
BEFORE: tuple[LiteralString, ...] = (
    """SELECT a.*, top.* FROM alerts AS a CROSS JOIN LATERAL (
        SELECT d.source, d.transaction_id, d.reasons FROM decisions AS d WHERE d.alert_id = a.alert_id
        ORDER BY coalesce(coalesce(d.score, 1) * d.amount, 0) DESC, d.payment_partition, d.payment_offset LIMIT 1
    ) AS top WHERE a.state = 'open' ORDER BY a.expected_loss DESC, a.alert_id DESC LIMIT 51""",
    "SELECT max(change) FROM alerts",
    """SELECT action, decided_by, count(*), count(*) FILTER (WHERE degraded), sum(amount) FROM decisions
        WHERE decided_at >= now() - interval '1 day' GROUP BY action, decided_by""",
    """SELECT state, count(*), count(*) FILTER (WHERE opened_at >= now() - interval '1 day'), sum(expected_loss)
        FROM alerts GROUP BY state""",
    "SELECT verdict, count(*) FROM dispositions WHERE known_at >= now() - interval '1 day' GROUP BY verdict",
)
"""What the page asked when it read decisions themselves."""
NOW: tuple[LiteralString, ...] = (
    """SELECT * FROM alerts AS a WHERE a.state = 'open'
        ORDER BY (a.unpriced > 0) DESC, a.expected_loss DESC, a.alert_id DESC LIMIT 51""",
    "SELECT max(change) FROM alerts",
    """SELECT action, decided_by, sum(decided), sum(degraded), sum(unpriced), sum(amount) FROM decision_counts
        WHERE minute >= date_trunc('minute', now() - interval '1 day') GROUP BY action, decided_by""",
    "SELECT state, count(*), sum(expected_loss) FILTER (WHERE state = 'open') FROM alerts GROUP BY state",
    "SELECT count(*) FROM alerts WHERE opened_at >= now() - interval '1 day'",
    "SELECT verdict, count(*) FROM dispositions WHERE known_at >= now() - interval '1 day' GROUP BY verdict",
)
"""What it asks today."""


def measure(rows: int, *, quick: bool = False) -> list[Section]:
    """Return the figures over so many decisions of 30 days; the database is gone afterwards."""
    runs = RUNS // 4 if quick else RUNS
    with database() as url:
        with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
            filled_s = _timed(lambda: _fill(connection, rows))
            connection.execute("VACUUM ANALYZE")
            before = [_timed(lambda: _ask(connection, BEFORE)) * 1_000 for _ in range(runs)]
            migrated_s = _timed(lambda: _migrate(connection))
            connection.execute("VACUUM ANALYZE")
            now = [_timed(lambda: _ask(connection, NOW)) * 1_000 for _ in range(runs)]
        pages = _pages(url, runs)
    title = f"The console's queue over {rows:,} decisions of {DAYS} days"
    return [
        Section(
            title,
            [
                Figure("queue page, as it was: SQL", "ms", before, note=_p95(before)),
                Figure("queue page, as it is: SQL", "ms", now, note=_p95(now)),
                Figure("queue page, as it is: over HTTP", "ms", pages, at_most(WITHIN_MS), _p95(pages)),
                Figure("rows written, old schema", "s", [filled_s]),
                Figure("old schema to new, all rows moved", "s", [migrated_s]),
            ],
        )
    ]


@contextmanager
def database() -> Iterator[str]:
    """Lend a database of its own in the stack's PostgreSQL; it is dropped at the end."""
    from infra.native.state.asking import postgres_as_superuser

    name = f"bench_{uuid.uuid4().hex[:8]}"
    env = stack.variables()
    with postgres_as_superuser(env) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER alerts").format(sql.Identifier(name)))
    try:
        yield settings().alerts_database_url.get_secret_value().rpartition("/")[0] + f"/{name}"
    finally:
        with postgres_as_superuser(env) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _fill(connection: "psycopg.Connection[Any]", rows: int) -> None:
    asked = {"rows": rows, "days": DAYS, "suspect": SUSPECT, "per_alert": PER_ALERT, "open": OPEN}
    with connection.transaction():  # of a table made in the same transaction nothing is logged twice
        connection.execute("CREATE TABLE schema_version (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)")
        connection.execute((SCHEMA / "001_alerts.sql").read_bytes())
        connection.execute("INSERT INTO schema_version VALUES (1, now())")
        for statement in FILL:
            connection.execute(statement, asked if "%(" in statement else None)


def _migrate(connection: "psycopg.Connection[Any]") -> None:
    with connection.transaction():
        for path in sorted(SCHEMA.glob("*.sql"))[1:]:
            connection.execute(path.read_bytes())
            connection.execute("INSERT INTO schema_version VALUES (%s, now())", (int(path.name[:3]),))


def _ask(connection: "psycopg.Connection[Any]", statements: Sequence[LiteralString]) -> None:
    for statement in statements:
        connection.execute(statement).fetchall()


def _pages(url: str, runs: int) -> list[float]:
    """Return the milliseconds of the console's queue page, by a desk of its own, each with its whole text."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"ALERTS_DATABASE_URL": url}
    command = [sys.executable, "-m", "serving", "desk", "--port", str(port)]
    desk = subprocess.Popen(command, cwd=PROJECT_DIR, env=environment, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait(client)
            client.post("/console/sign-in", data={"name": "bench", "key": stack.api_key()})
            return [_timed(lambda: _page(client)) * 1_000 for _ in range(runs)]
    finally:
        desk.terminate()
        desk.wait(30)


def _page(client: httpx.Client) -> None:
    answer = client.get("/console/queue")
    if answer.status_code != httpx.codes.OK or not re.search(r'id="alert-\d+"', answer.text):
        raise UnreachableError(f"the console's queue answers {answer.status_code} without an alert")


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if client.get("/health/ready").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise UnreachableError(f"the desk is not ready after {START_S:.0f} s")


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _p95(runs: Sequence[float]) -> str:
    return f"p95 {quantiles(runs, n=20, method='inclusive')[-1]:,.1f} ms"
