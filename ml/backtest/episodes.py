"""What stopping some payments would have done, counted by episode: a card's alerts and frauds within a day of another.

A payment's `status` is fraud, genuine (confirmed, or presumed after the maturity days), open (too young to know) or
blocked (it was not made, so nobody will ever complain): the last two are unknown, never genuine.
"""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

APART_US = 24 * 3_600 * 1_000_000
"""Alerts and frauds of a card further apart than this are of two episodes."""
FRAUD, GENUINE, OPEN, BLOCKED = "fraud", "genuine", "open", "blocked"
COLUMNS = ("card_id", "at_us", "money", "status", "in_force", "control")
"""What `measure` reads: card, UTC us, amount in the reporting currency, status, whether the decision then in force
stopped the payment (a would-be block of the control share too), and whether the payment is of the control share."""


@dataclass(frozen=True)
class Money:
    """Fraud not paid, in the reporting currency: `directly` stopped, and at most, if the episode had ended there."""

    directly: float
    at_most: float


@dataclass(frozen=True)
class Effect:
    """What a rule, a model or all of them would have done.

    payments: stopped, by status; episodes: by verdict (fraud: a stopped payment was; unknown: none was, and of some it
    is not known; else genuine); new_*: of the episodes in which the decisions in force stopped nothing; hurt: cards
    with a genuine payment stopped; control: of the stopped, those of the control share that are known, by status, which
    tell what the blocked ones would have been.
    """

    payments: dict[str, int]
    episodes: dict[str, int]
    money: Money
    new_episodes: dict[str, int]
    new_money: Money
    hurt: int
    a_day: float
    control: dict[str, int]

    @property
    def precision(self) -> float | None:
        """Share of fraud among the episodes of which it is known."""
        known = self.episodes[FRAUD] + self.episodes[GENUINE]
        return self.episodes[FRAUD] / known if known else None

    @property
    def false_per_fraud(self) -> float | None:
        """Genuine episodes for each fraud."""
        return self.episodes[GENUINE] / self.episodes[FRAUD] if self.episodes[FRAUD] else None

    @property
    def blocked_frauds(self) -> float | None:
        """How many of the blocked payments were fraud, by the control share; None if that has no known payment."""
        known = self.control[FRAUD] + self.control[GENUINE]
        return self.payments[BLOCKED] * self.control[FRAUD] / known if known else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        derived = ("precision", "false_per_fraud", "blocked_frauds")
        return asdict(self) | {name: getattr(self, name) for name in derived}


def measure(payments: pl.DataFrame, stops: pl.Series, days: int) -> Effect:
    """Return what stopping `stops` (bool, one a row) of `payments` (with COLUMNS) of so many days would have done."""
    stop, fraud = pl.col("stop"), pl.col("status") == FRAUD
    marked = payments.select(COLUMNS).with_columns(stops.alias("stop")).filter(stop | fraud | pl.col("in_force"))
    begins = (pl.col("card_id") != pl.col("card_id").shift()) | (pl.col("at_us").diff() > APART_US)
    rows = marked.sort("card_id", "at_us", maintain_order=True).with_columns(
        episode=begins.fill_null(value=True).cum_sum(), hit=stop & fraud
    )
    rows = rows.with_columns(after=pl.col("hit").cum_sum().over("episode") > 0)
    found = rows.group_by("episode").agg(
        stops=stop.sum(),
        frauds=pl.col("hit").sum(),
        unknown=(stop & pl.col("status").is_in([OPEN, BLOCKED])).sum(),
        directly=pl.col("money").filter(pl.col("hit")).sum(),
        later=pl.col("money").filter(fraud & ~stop & pl.col("after")).sum(),
        in_force=pl.col("in_force").any(),
    )
    found = found.filter(pl.col("stops") > 0).with_columns(
        verdict=pl.when(pl.col("frauds") > 0)
        .then(pl.lit(FRAUD))
        .when(pl.col("unknown") > 0)
        .then(pl.lit("unknown"))
        .otherwise(pl.lit(GENUINE))
    )
    new = found.filter(~pl.col("in_force"))
    stopped = rows.filter(stop)
    genuine = stopped.filter(pl.col("status") == GENUINE)
    return Effect(
        payments=_counts(stopped["status"], (FRAUD, GENUINE, OPEN, BLOCKED)),
        episodes=_counts(found["verdict"], (FRAUD, GENUINE, "unknown")),
        money=_money(found),
        new_episodes=_counts(new["verdict"], (FRAUD, GENUINE, "unknown")),
        new_money=_money(new),
        hurt=genuine["card_id"].n_unique(),
        a_day=found.height / days,
        control=_counts(stopped.filter(pl.col("control"))["status"], (FRAUD, GENUINE)),
    )


def _counts(values: pl.Series, names: tuple[str, ...]) -> dict[str, int]:
    return {name: int((values == name).sum()) for name in names}


def _money(episodes: pl.DataFrame) -> Money:
    directly, later = float(episodes["directly"].sum()), float(episodes["later"].sum())
    return Money(directly, directly + later)
