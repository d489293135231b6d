"""What can be audited: the tables with their keys and clocks, and the rows of one that are about a card."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from clients import trino
from errors import InputError
from lake.tables import SCHEMAS, TRANSACTIONS, Table, schema_name

PLACE = ("source_topic", "source_partition", "source_offset")
KEYS: dict[str, tuple[str, ...]] = {
    "bronze.transactions": PLACE,
    "bronze.labels": PLACE,
    "bronze.decisions": PLACE,
    "silver.transactions": ("source", "transaction_id"),
    "silver.transaction_repeats": PLACE,
    "silver.transaction_conflicts": PLACE,
    "silver.label_events": ("label_event_id",),
    "silver.decisions": ("decision_id",),
    "gold.card_features_daily": ("card_id", "as_of_day"),
    "gold.merchant_risk_daily": ("acceptor_id", "as_of_day"),
    "gold.fraud_metrics_daily": ("source", "event_day"),
    "gold.card_risk_daily": ("card_id", "event_day"),
    "gold.decision_outcomes_daily": (
        "source",
        "event_day",
        "country",
        "channel",
        "mcc_group",
        "card_age",
        "amount_band",
    ),
    "gold.model_performance_weekly": ("week", "model_version"),
}
"""By what a row is the same row in two versions; a table that is not here is compared by whole rows."""


@dataclass(frozen=True)
class Clocks:
    """The columns that say when a row's matter was known, and how it came into the table."""

    known: str
    built: str
    arrived: str | None = None
    landed: str | None = None


STREAMED = {"arrived": "kafka_timestamp", "landed": "ingested_at", "built": "loaded_at"}
CLOCKS = {
    "silver.transactions": Clocks("event_time", **STREAMED),
    "silver.label_events": Clocks("known_at", **STREAMED),
    "silver.decisions": Clocks("decided_at", **STREAMED),
    "gold.card_features_daily": Clocks("available_at", "updated_at"),
    "gold.merchant_risk_daily": Clocks("available_at", "updated_at"),
}


@dataclass(frozen=True)
class Subject:
    """A table as it is in the catalog now."""

    table: Table
    columns: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """Return the columns that name a row: every column where the table has no key of ours."""
        return KEYS.get(str(self.table), self.columns)


@dataclass(frozen=True)
class Condition:
    """A condition of SQL with its parameters."""

    sql: str = "true"
    parameters: tuple[object, ...] = ()


def find(name: str) -> Subject:
    """Return the table that `name` (schema.table) names; InputError with the nearest names when there is none."""
    schema, _, table = name.removeprefix(f"{trino.CATALOG}.").partition(".")
    known = trino.query(
        f"select table_schema, table_name, table_type from {trino.CATALOG}.information_schema.tables"  # noqa: S608
        f" where table_schema in ({', '.join(trino.literal(schema_name(each)) for each in SCHEMAS)})"
    )
    kinds = {(found, each): kind for found, each, kind in known}
    kind = kinds.get((schema_name(schema), table))
    if kind is None:
        names = [f"{each}.{found}" for each in SCHEMAS for owner, found in kinds if owner == schema_name(each)]
        near = get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)
        raise InputError(f"there is no table {name}; did you mean {', '.join(near)}?")
    if kind == "VIEW":
        raise InputError(f"{name} is a view, which has no versions: ask the tables it reads, see `show create view`")
    rows = trino.query(
        f"select column_name from {trino.CATALOG}.information_schema.columns"  # noqa: S608 - our own names
        " where table_schema = ? and table_name = ? order by ordinal_position",
        [schema_name(schema), table],
    )
    return Subject(Table(schema, table), tuple(row[0] for row in rows))


def about(subject: Subject, card: str | None, where: Sequence[str] = ()) -> Condition:
    """Return the condition for rows about a card that also have each `COLUMN=VALUE` of `where`.

    Label events name payments: theirs are the ones of the card's payments. Raises InputError when the table says
    nothing of cards or lacks a column.
    """
    parts, parameters = [], []
    if card is not None and "card_id" in subject.columns:
        parts.append("card_id = ?")
        parameters.append(card)
    elif card is not None and {"source", "transaction_id"} <= set(subject.columns):
        payments = f"{trino.CATALOG}.{TRANSACTIONS.sql_name}"
        parts.append(f"(source, transaction_id) in (select source, transaction_id from {payments} where card_id = ?)")  # noqa: S608
        parameters.append(card)
    elif card is not None:
        raise InputError(
            f"{subject.table} says nothing about single cards: choose rows by --where COLUMN=VALUE, "
            f"its columns are {', '.join(subject.columns)}"
        )
    for each in where:
        column, equals, value = each.partition("=")
        if not equals or column not in subject.columns:
            raise InputError(
                f"--where {each}: write COLUMN=VALUE with a column of {subject.table}: {', '.join(subject.columns)}"
            )
        parts.append(f"cast({trino.identifier(column)} as varchar) = ?")
        parameters.append(value)
    return Condition(" and ".join(parts) or "true", tuple(parameters))
