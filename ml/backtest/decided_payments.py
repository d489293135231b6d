"""The payments of a period as they were decided: logged features, the decision in force, and what became of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from clients import delta
from epoch import from_us
from errors import InputError
from features import DAY_US, NAMES, SCHEMA_HASH
from lake import point_in_time, reading
from lake.parity.logged import matrix
from lake.point_in_time import Snapshot
from lake.tables import BRONZE_DECISIONS, TRANSACTIONS
from ml.backtest.episodes import BLOCKED, FRAUD, GENUINE, OPEN
from ml.dataset.vectors import Matrix, values
from ml.dataset.window_replay import attach, replay
from settings import definitions

IDENTITY = ("source", "transaction_id")
LOGGED = (*IDENTITY, "decided_at", "decision", "decided_by", "score", "schema_hash")
BATCH = 100_000
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class DecidedPayments:
    """n payments of a period, in no order.

    payments: the payment's fields, `episodes.COLUMNS`, `logged` (its features stand in a record), `score` and the named
    features as float64; vectors (n, features) float32 if they were asked for, else (0, features).
    """

    payments: pl.DataFrame
    vectors: Matrix
    versions: dict[str, int]

    @property
    def logged_share(self) -> float:
        """Share of the payments whose features were logged; those of the others are worked out again."""
        return float(self.payments["logged"].mean() or 0.0)  # type: ignore[arg-type]  # a mean of truth values


def collect(
    start_us: int, end_us: int, names: Sequence[str], progress: Progress, *, with_vectors: bool, fields: Sequence[str]
) -> DecidedPayments:
    """Read the payments with event_time in [start_us, end_us): the features `names`, the payment's `fields`.

    InputError if the lake has none.
    """
    decided_at = reading.open_table(BRONZE_DECISIONS) if reading.exists(BRONZE_DECISIONS) else None
    snapshot = point_in_time.pin()
    paid = _payments(snapshot, start_us, end_us, fields)
    if not paid.height:
        raise InputError(
            f"silver.transactions has no payment from {from_us(start_us):%F} until {from_us(end_us):%F}: "
            "choose other days; `make status` says whether the refresh has run"
        )
    decided, vectors = _decisions(decided_at, start_us, end_us, names, progress, with_vectors=with_vectors)
    known = paid.join(decided, on=IDENTITY, how="left").with_columns(logged=pl.col("place").is_not_null())
    if not known["logged"].all():
        recomputed, more = _recomputed(snapshot, start_us, end_us, known, names, progress, with_vectors=with_vectors)
        known = _filled(known, recomputed, names, len(vectors))
        vectors = np.concatenate([vectors, more])
    known = known.filter(pl.col("place").is_not_null())
    if with_vectors:
        vectors = vectors[known["place"].to_numpy()]
    return DecidedPayments(_with_outcomes(snapshot, known), vectors, snapshot.versions())


def _payments(snapshot: Snapshot, start_us: int, end_us: int, fields: Sequence[str]) -> pl.DataFrame:
    columns = dict.fromkeys([*IDENTITY, "card_id", "amount", "event_time", "is_attempt", *fields])
    days: reading.Filters = [("event_day", ">=", from_us(start_us).date()), ("event_day", "<=", from_us(end_us).date())]
    found = pl.DataFrame(reading.read(snapshot.tables[TRANSACTIONS], list(columns), days))
    at_us = pl.col("event_time").dt.epoch("us")
    found = found.with_columns(at_us=at_us, money=pl.col("amount").fill_null(0.0)).drop("amount")
    return found.filter(pl.col("is_attempt") & pl.col("at_us").is_between(start_us, end_us, closed="left"))


def _decisions(
    table: DeltaTable | None,
    start_us: int,
    end_us: int,
    names: Sequence[str],
    progress: Progress,
    *,
    with_vectors: bool,
) -> tuple[pl.DataFrame, Matrix]:
    """Return the first decision on each payment, `place` its row among the vectors; without place: other features."""
    parts, vectors = [_nothing(names)], [np.empty((0, len(NAMES)), np.float32)]
    columns = [*LOGGED, *(["features"] if names else []), *(["vector"] if with_vectors else [])]
    kinds = pl.Struct(dict.fromkeys(names, pl.Float64))
    if table is not None:
        wanted = (pc.field("event_time") >= from_us(start_us)) & (pc.field("event_time") < from_us(end_us))
        scanner = delta.dataset(table).scanner(columns=columns, filter=wanted, batch_size=BATCH)
        for batch in scanner.to_batches():
            rows = pa.Table.from_batches([batch])
            part = pl.DataFrame(rows.drop_columns(["vector"] if with_vectors else []))
            if names:
                part = part.with_columns(pl.col("features").str.json_decode(kinds)).unnest("features")
            ours = part["schema_hash"] == SCHEMA_HASH
            before = sum(map(len, vectors))
            place = pl.when(ours).then(ours.cast(pl.Int64).cum_sum() + (before - 1))
            if with_vectors:
                vectors.append(matrix(rows.filter(ours.to_arrow())["vector"]))
            else:
                place = pl.when(ours).then(0)
            parts.append(part.with_columns(place=place.cast(pl.Int64)).drop("schema_hash").select(parts[0].columns))
            progress("reading decisions", len(batch))
    decided = pl.concat(parts).sort("decided_at", maintain_order=True)
    decided = decided.unique(IDENTITY, keep="first", maintain_order=True).drop("decided_at")
    return decided, np.concatenate(vectors)


def _nothing(names: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "source": pl.String,
            "transaction_id": pl.String,
            "decided_at": pl.Datetime("us", "UTC"),
            "decision": pl.String,
            "decided_by": pl.String,
            "score": pl.Float64,
            **dict.fromkeys(names, pl.Float64),
            "place": pl.Int64,
        }
    )


def _recomputed(
    snapshot: Snapshot,
    start_us: int,
    end_us: int,
    known: pl.DataFrame,
    names: Sequence[str],
    progress: Progress,
    *,
    with_vectors: bool,
) -> tuple[pl.DataFrame, Matrix]:
    """Work out the features of the payments without logged ones, as training does."""
    missing = known.filter(~pl.col("logged")).select(IDENTITY)
    windows = replay(snapshot, start_us, end_us, lambda done: progress("replaying windows", done))
    parts = [pl.DataFrame(schema=dict.fromkeys(IDENTITY, pl.String) | dict.fromkeys(names, pl.Float64))]
    vectors = [np.empty((0, len(NAMES)), np.float32)]
    for chunk in attach(point_in_time.payments(snapshot, start_us, end_us), windows):
        ids = pl.DataFrame(chunk.select(list(IDENTITY)))
        wanted = ids.with_row_index("row").join(missing, on=IDENTITY, how="semi")["row"]
        rows = chunk.take(wanted.to_arrow())
        made = values(rows)
        columns = {name: made[:, NAMES.index(name)] for name in names}
        parts.append(ids[wanted.to_list()].with_columns(**{name: pl.Series(each) for name, each in columns.items()}))
        if with_vectors:
            vectors.append(made.astype(np.float32))
        progress("building features", rows.num_rows)
    return pl.concat(parts), np.concatenate(vectors)


def _filled(known: pl.DataFrame, recomputed: pl.DataFrame, names: Sequence[str], first: int) -> pl.DataFrame:
    """Return `known` with the features of `recomputed` where it has none, whose first vector has the place `first`."""
    placed = recomputed.with_row_index("later").with_columns(pl.col("later").cast(pl.Int64) + first)
    both = known.join(placed, on=IDENTITY, how="left", suffix="_recomputed")
    taken = [pl.when("logged").then(name).otherwise(f"{name}_recomputed").alias(name) for name in names]
    both = both.with_columns(*taken, pl.coalesce("place", "later").alias("place"))
    return both.drop("later", *(f"{name}_recomputed" for name in names))


def _with_outcomes(snapshot: Snapshot, known: pl.DataFrame) -> pl.DataFrame:
    """Add what became of each payment, as known today, and what the decision in force did."""
    verdicts = pl.DataFrame(point_in_time.verdicts(snapshot).select([*IDENTITY, "verdict"]))
    mature_us = point_in_time.span(snapshot).last_event_time - definitions().maturity_days * DAY_US
    stopped = pl.col("decision").is_not_null() & (pl.col("decision") != "approve")
    control = pl.col("decided_by").eq("control").fill_null(value=False)
    status = (
        pl.when(pl.col("decision").eq("block").fill_null(value=False))
        .then(pl.lit(BLOCKED))
        .when(pl.col("verdict") == "fraud")
        .then(pl.lit(FRAUD))
        .when((pl.col("verdict") == "genuine") | (pl.col("at_us") < mature_us))
        .then(pl.lit(GENUINE))
        .otherwise(pl.lit(OPEN))
    )
    return known.join(verdicts, on=IDENTITY, how="left").with_columns(
        status=status, control=control, in_force=stopped | control
    )
