"""The lake's tables: name, schema, folder in the bucket, and the column that partitions Bronze's."""

import os
from dataclasses import dataclass

from settings import settings

SCHEMAS = ("bronze", "silver", "gold", "ops")
SCRATCH = "_scratch"
"""Under a schema's folder, the copies that DBT_SCHEMA_PREFIX sets apart; the catalog's registration skips them."""


@dataclass(frozen=True)
class Table:
    """One Delta table; its folder is `<schema>/<name>` under the bucket, whoever writes it."""

    schema: str
    name: str
    partitioned_by: str | None = None

    @property
    def path(self) -> str:
        """Return the folder as delta-rs takes it: s3://bucket/schema/name."""
        return f"{folder(self.schema)}/{self.name}"

    @property
    def sql_name(self) -> str:
        """Return the name as SQL takes it in the catalog: schema.name, the schema with its prefix."""
        return f"{schema_name(self.schema)}.{self.name}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


BRONZE_TRANSACTIONS = Table("bronze", "transactions", "ingested_date")
BRONZE_LABELS = Table("bronze", "labels", "ingested_date")
BRONZE_DECISIONS = Table("bronze", "decisions", "ingested_date")
TRANSACTIONS = Table("silver", "transactions")
TRANSACTION_REPEATS = Table("silver", "transaction_repeats")
TRANSACTION_CONFLICTS = Table("silver", "transaction_conflicts")
CARDS = Table("silver", "cards")
LABEL_EVENTS = Table("silver", "label_events")
DECISIONS = Table("silver", "decisions")
DEAD_LETTERS = Table("silver", "dead_letters")
TRAINING_RUNS = Table("silver", "training_runs")
TRAINING_WEEKS = Table("silver", "training_weeks")
CARD_FEATURES = Table("gold", "card_features_daily")
MERCHANT_RISK = Table("gold", "merchant_risk_daily")
FRAUD_METRICS = Table("gold", "fraud_metrics_daily")
CARD_RISK = Table("gold", "card_risk_daily")
DECISION_OUTCOMES = Table("gold", "decision_outcomes_daily")
MODEL_PERFORMANCE = Table("gold", "model_performance_weekly")
GOLD = (CARD_FEATURES, MERCHANT_RISK, FRAUD_METRICS, CARD_RISK, DECISION_OUTCOMES)
VIEWS: dict[tuple[str, str], tuple[Table, ...]] = {
    ("silver", "labels"): (LABEL_EVENTS,),
    ("silver", "payments_labelled"): (TRANSACTIONS, LABEL_EVENTS),
    ("gold", "days"): (),
    ("gold", "outcomes_by_day"): (DECISION_OUTCOMES,),
    ("gold", "dead_letters_daily"): (DEAD_LETTERS,),
    ("gold", "arrivals_daily"): (TRANSACTIONS, TRANSACTION_REPEATS, TRANSACTION_CONFLICTS),
    ("gold", "freshness"): (
        TRANSACTIONS,
        LABEL_EVENTS,
        DECISIONS,
        DEAD_LETTERS,
        DECISION_OUTCOMES,
        CARD_FEATURES,
        MERCHANT_RISK,
    ),
    ("gold", "model_tests"): (TRAINING_RUNS,),
    ("gold", "model_tests_weekly"): (TRAINING_RUNS, TRAINING_WEEKS),
    ("gold", "cards_at_risk"): (CARD_RISK,),
    ("gold", "merchants_at_risk"): (MERCHANT_RISK,),
}
"""Views, and the tables that each reads: they live in the catalog alone; dbt makes them again when it was lost."""


def root() -> str:
    """Return the lake's root, s3://bucket."""
    return f"s3://{settings().s3_bucket}"


def prefix() -> str:
    """Return what sets a test's or an analyst's own copy of the schemas apart (DBT_SCHEMA_PREFIX), else nothing."""
    return os.environ.get("DBT_SCHEMA_PREFIX", "")


def schema_name(schema: str) -> str:
    """Return the name of `schema` in the catalog, as dbt's macro generate_schema_name makes it."""
    return f"{prefix()}{schema}"


def folder(schema: str) -> str:
    """Return the folder of `schema`, as dbt's macro schema_location makes it."""
    home = f"{root()}/{schema}"
    return f"{home}/{SCRATCH}/{schema_name(schema)}" if prefix() else home
