"""Tries new rules on payments decided lately; who may put a version in force, and what it changes."""

from collections.abc import Mapping, Sequence
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
from serving.policy.records import Action, Change
from settings import settings

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


@dataclass(frozen=True)
class Written:
    """A file of rules as it was read, once: what is tried is what is published."""

    text: str
    ruleset: RuleSet

    @property
    def version(self) -> str:
        """SHA-256 of what it says."""
        return self.ruleset.version


def read(file: Path) -> Written:
    """Return the rules of `file`; InputError says what is wrong with it."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    return Written(text, RuleSet.read(text))


def attempt(ruleset: RuleSet) -> Tried:
    """Evaluate every rule over the newest payments of the last days in Bronze; ServerError if they cannot be read."""
    frame = logged()
    if not frame.height or not ruleset.compiled:
        return Tried(frame.height, {})
    found = columns.evaluate(ruleset, frame)
    return Tried(frame.height, found.sum().row(0, named=True))


def check_author(action: Action, version: str, author: str, changes: Sequence[Change]) -> None:
    """Raise InputError if `author` may not do this with a version, as things stand."""
    asked = settings().rules_second_person
    if action is Action.PUBLISH and asked:
        raise InputError(
            "a second person has to agree (RULES_SECOND_PERSON): `rules propose FILE`, then another one `rules approve`"
        )
    if action is Action.APPROVE:
        proposals = [each for each in changes if each.action is Action.PROPOSE and each.version == version]
        if not proposals:
            raise InputError(f"nobody proposed version {version}; `python -m serving rules history` has all")
        if asked and author.casefold() == proposals[-1].author.casefold():
            raise InputError(f"{author} proposed version {version}; another person has to approve it")
    if action is Action.ROLLBACK and not any(
        each.version == version for each in changes if each.action is not Action.PROPOSE
    ):
        raise InputError(f"version {version} was never in force; `python -m serving rules history` has all")


def whole(start: str, changes: Sequence[Change]) -> str:
    """Return the version that begins with `start`; InputError if none does, or several do."""
    found = {each.version for each in changes if each.version.startswith(start)}
    if len(found) != 1:
        raise InputError(f"{'no version begins' if not found else f'{len(found)} versions begin'} with {start}")
    return found.pop()


def difference(old: RuleSet | None, new: RuleSet) -> str:
    """Return in short what a version changes: +added, -removed, ~changed rules, and the control share."""
    before = {rule.name: rule for rule in old.contents.rules} if old else {}
    after = {rule.name: rule for rule in new.contents.rules}
    parts = [f"+{name}" for name in after.keys() - before.keys()]
    parts += [f"-{name}" for name in before.keys() - after.keys()]
    parts += [f"~{name}" for name in after.keys() & before.keys() if after[name] != before[name]]
    if old and old.contents.control != new.contents.control:
        parts.append("~control")
    return " ".join(sorted(parts, key=lambda part: part[1:])) or "nothing"


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
