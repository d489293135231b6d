"""Tries new rules on payments decided lately, and puts them in force in one step if they match no more than agreed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

import features
from clients import registry
from contracts import wire
from errors import InputError, RejectedError
from lake import reading
from lake.tables import BRONZE_DECISIONS
from scoring.rules import RuleSet, columns, language
from serving.policy.in_force import END, Files, replace

DAYS = 7
MOST_ROWS = 100_000


@dataclass(frozen=True)
class Tried:
    """How many of the payments tried each rule's condition matches, in the order in which rules act."""

    rows: int
    matches: Mapping[str, int]

    def above(self, ruleset: RuleSet, most: float) -> list[str]:
        """Return the rules that act and match more than the share `most`."""
        shadow = {rule.name for rule in ruleset.contents.rules if rule.shadow}
        return [name for name, count in self.matches.items() if name not in shadow and count > most * self.rows]


def read(file: Path, files: Files) -> RuleSet:
    """Return the rules of `file` with the lists in force; InputError says what is wrong with either."""
    try:
        text = file.read_text()
        lists = files.lists.read_text() if files.lists.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    return RuleSet.read(text, lists)


def attempt(ruleset: RuleSet) -> Tried:
    """Evaluate every rule over the newest payments of the last days in Bronze; ServerError if they cannot be read."""
    frame = logged()
    if not frame.height or not ruleset.compiled:
        return Tried(frame.height, {})
    found = columns.evaluate(ruleset, frame)
    return Tried(frame.height, found.sum().row(0, named=True))


def publish(file: Path, files: Files) -> None:
    """Replace the rules in force by `file`, in one step; whoever looks sees the old ones or the new ones, whole."""
    try:
        files.rules.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text().rstrip()
        replace(files.rules, (text if text.endswith(f"\n{END}") else f"{text}\n{END}").encode() + b"\n")
    except OSError as error:
        raise InputError(f"{files.rules} cannot be written: {error}") from error


def logged(most: int = MOST_ROWS) -> pl.DataFrame:
    """Return the newest decisions of this program's features, at most `most`: the payment's fields and the features."""
    since = (datetime.now(UTC) - timedelta(days=DAYS)).date()
    wanted: reading.Filters = [("ingested_date", ">=", since), ("schema_hash", "=", features.SCHEMA_HASH)]
    if not reading.exists(BRONZE_DECISIONS):
        return pl.DataFrame()
    table = reading.open_table(BRONZE_DECISIONS)
    times = reading.read(table, ["decided_at"], wanted)["decided_at"]
    if len(times) > most:
        newest = times.take(pc.sort_indices(times, sort_keys=[("", "descending")])[:most])
        wanted.append(("decided_at", ">=", newest[-1].as_py()))
    found = reading.read(table, ["payment", "features"], wanted).slice(0, most)
    return unpack(found) if found.num_rows else pl.DataFrame()


def unpack(found: pa.Table) -> pl.DataFrame:
    """Return records' `payment` and `features` as columns that rules are evaluated over."""
    kinds = {
        name: pl.Float64 if kind is language.Kind.NUMBER else pl.String for name, kind in language.fields().items()
    }
    writer, payments = registry.writers(), list[dict[str, Any]]()
    for value in found["payment"].to_pylist():
        try:
            payments.append(wire.decode(value, writer, "transaction")[1])
        except RejectedError as error:
            raise InputError(f"a payment in {BRONZE_DECISIONS} cannot be read: {error}") from error
    read = pl.Series("features", found["features"].to_pylist())
    vectors = read.str.json_decode(pl.Struct(dict.fromkeys(features.NAMES, pl.Float64))).struct.unnest()
    fields = {name: [payment.get(name) for payment in payments] for name in kinds}
    return pl.DataFrame(fields, schema=kinds, strict=False).hstack(vectors.get_columns())
