"""A Gold of many entities for the feature writer: the newest real rows, repeated under new ids, beside the real lake.

It stands under `bronze/bench-.../` in the bucket, where Spark's key may write, and is gone afterwards.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from clients import delta, s3
from errors import InputError
from features import ACCEPTOR_COLUMNS, CARD_COLUMNS
from lake import reading
from lake.tables import CARD_FEATURES, MERCHANT_RISK, TRANSACTIONS, Table
from settings import settings

Entities = list[tuple[str, dict[str, float]]]
KINDS = (("card", "card_id", CARD_FEATURES, CARD_COLUMNS), ("acceptor", "acceptor_id", MERCHANT_RISK, ACCEPTOR_COLUMNS))


@contextmanager
def many(cards: int, acceptors: int) -> Iterator[tuple[dict[str, str], Entities]]:
    """Yield the environment in which a command sees that Gold, and its entities as (Redis key, name to value)."""
    folder = f"bronze/bench-{os.urandom(3).hex()}"
    entities: Entities = []
    try:
        for (kind, key, table, columns), count in zip(KINDS, (cards, acceptors), strict=True):
            rows = _repeated(_newest(table, "as_of_day"), key, count)
            _write(folder, table, rows)
            named = rows.select([key, *columns]).to_pylist()
            entities += [(f"profile:{kind}:{row.pop(key)}", _known(row)) for row in named]
        _write(folder, TRANSACTIONS, _one_payment())
        yield {"S3_BUCKET": f"{settings().s3_bucket}/{folder}"}, entities
    finally:
        for path in list(s3.keys(f"{folder}/", "spark")):
            s3.delete(path, "spark")


def _newest(table: Table, column: str) -> pa.Table:
    """Return all rows of the newest day; InputError when there is none."""
    opened = reading.open_table(table)
    newest = reading.newest_day(opened, column)
    if newest is None:
        raise InputError(f"{table} is empty; run `make refresh`")
    return reading.read(opened, None, [(column, "=", newest)])


def _one_payment() -> pa.Table:
    """Return a payment of Silver's newest day, which tells the feature writer the time."""
    rows = _newest(TRANSACTIONS, "event_day").sort_by([("event_time", "descending")])
    return rows.slice(0, 1)


def _repeated(rows: pa.Table, key: str, count: int) -> pa.Table:
    """Return `count` rows: those given, over and over, each under an id of its own."""
    picked = rows.take(pa.array([number % rows.num_rows for number in range(count)]))
    ids = [hashlib.sha256(f"bench {key} {number}".encode()).hexdigest() for number in range(count)]
    return picked.set_column(picked.schema.get_field_index(key), key, pa.array(ids))


def _known(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if value is not None}


def _write(folder: str, table: Table, rows: pa.Table) -> None:
    path = f"s3://{settings().s3_bucket}/{folder}/{table.schema}/{table.name}"
    write_deltalake(path, rows, storage_options=delta.options("spark"))
