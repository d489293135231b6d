"""What rules, a model or a threshold would have done to payments that were decided already, beside what was done."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clients import mlflow
from errors import InputError, ModelError
from features import NAMES
from ml.backtest.decided_payments import DecidedPayments, Progress, collect
from ml.backtest.episodes import FRAUD, GENUINE, Effect, measure
from ml.dataset.vectors import Matrix
from ml.periods import midnight_us
from scoring import manifest as manifests
from scoring.decision import Decision
from scoring.model import Model, load
from scoring.rules import RuleSet, language
from scoring.rules.columns import evaluate
from settings import definitions

CHAMPION = "champion"
BATCH = 50_000
MODEL = "model"
TOTAL = "all together"


@dataclass(frozen=True)
class Request:
    """What to try: rules, a version of the model, a threshold; at least one of them, and the days (both included)."""

    first: date
    last: date
    rules: RuleSet | None = None
    model: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        """InputError if there is nothing to try, or no day to try it on."""
        if self.rules is None and self.model is None and self.threshold is None:
            raise InputError("nothing to try: give --rules FILE, --model VERSION or --threshold SCORE")
        if self.first > self.last:
            raise InputError(f"the days are out of order: from {self.first} to {self.last}")

    @property
    def scores(self) -> bool:
        """Whether the model takes part."""
        return self.model is not None or self.threshold is not None

    @property
    def days(self) -> int:
        """How many days it is tried on."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class Line:
    """One rule, the model, or all together: what it does to the payments it matches, and its effect.

    Of a rule that approves, and of a shadow rule, the effect is that of the payments it matches, but neither stops
    anything in `all together`.
    """

    name: str
    action: str
    shadow: bool
    effect: Effect


@dataclass(frozen=True)
class Outcome:
    """What was tried on how many payments, how many of them were logged, their frauds and status, and each line."""

    request: Request
    payments: int
    logged_share: float
    frauds: int
    fraud_money: float
    unknown: int
    currency: str
    lines: list[Line]
    scored_by: str | None
    versions: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        request = self.request
        tried = {
            "from": str(request.first),
            "to": str(request.last),
            "model": request.model,
            "threshold": request.threshold,
            "rules_version": request.rules.version if request.rules else None,
        }
        about = ("payments", "logged_share", "frauds", "fraud_money", "unknown", "currency", "scored_by", "versions")
        lines = [
            {"name": each.name, "action": each.action, "shadow": each.shadow} | each.effect.as_dict()
            for each in self.lines
        ]
        return tried | {name: getattr(self, name) for name in about} | {"lines": lines}


def read_rules(file: Path) -> RuleSet:
    """Return the rules of a file; InputError says what is wrong with them."""
    try:
        return RuleSet.read(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def run(request: Request, progress: Progress) -> Outcome:
    """Try it; raises the errors of the storage and MLflow, InputError where the lake has nothing to try it on."""
    used = _names(request.rules)
    fields, names = sorted(used - set(NAMES)), sorted(used & set(NAMES))
    model = _model(request.model) if request.scores else None
    period = midnight_us(request.first), midnight_us(request.last + timedelta(days=1))
    decided = collect(*period, names, progress, with_vectors=model is not None, fields=fields)
    return outcome(request, decided, model, progress)


def outcome(
    request: Request, decided: DecidedPayments, model: Model | None, progress: Progress = lambda *_: None
) -> Outcome:
    """Return what would have been done to payments of the past; `model` scores those that it has to."""
    payments, lines = decided.payments, list[Line]()
    acting = pl.Series([None] * payments.height, dtype=pl.String)
    if request.rules is not None:
        progress("trying rules", 0)
        matched = evaluate(request.rules, payments)
        for each in request.rules.compiled:
            rule, hit = each.rule, matched[each.rule.name]
            lines.append(Line(rule.name, rule.action.value, rule.shadow, measure(payments, hit, request.days)))
            if not rule.shadow:
                first = pl.select(pl.when(hit & acting.is_null()).then(pl.lit(rule.action.value)).otherwise(acting))
                acting = first.to_series()
        progress("trying rules", payments.height)
    if model is not None:
        scores = _scores(request, decided, model, progress)
        threshold = model.manifest.threshold if request.threshold is None else request.threshold
        over = pl.Series(scores >= threshold)
        review = Decision.REVIEW.value
        lines.append(Line(f"{MODEL} at {threshold:.4g}", review, False, measure(payments, over, request.days)))
        acting = pl.select(pl.when(over & acting.is_null()).then(pl.lit(review)).otherwise(acting)).to_series()
    stops = (acting.is_not_null() & (acting != Decision.APPROVE.value)).fill_null(value=False)
    lines.append(Line(TOTAL, "", False, measure(payments, stops, request.days)))
    frauds = payments.filter(pl.col("status") == FRAUD)
    known = payments["status"].is_in([FRAUD, GENUINE])
    by = None if model is None else f"version {model.version}"
    if request.scores and request.model is None:
        by = f"the models in force, and where there was none {by}"
    return Outcome(
        request,
        payments.height,
        decided.logged_share,
        frauds.height,
        float(frauds["money"].sum()),
        payments.height - int(known.sum()),
        definitions().reporting_currency,
        lines,
        by,
        decided.versions,
    )


def _names(rules: RuleSet | None) -> set[str]:
    """Return the payment's fields and the features that conditions name."""
    if rules is None:
        return set()
    return set().union(*(language.used(each.node) | language.asked(each.node) for each in rules.compiled))


def _scores(request: Request, decided: DecidedPayments, model: Model, progress: Progress) -> Matrix:
    """Return a score a payment: of the version asked for, else the logged one, and the model's where there is none."""
    scores = decided.payments["score"].fill_null(float("nan")).to_numpy().copy()
    if request.model is not None:
        scores[:] = np.nan
    missing = np.flatnonzero(np.isnan(scores))
    for begin in range(0, len(missing), BATCH):
        part = missing[begin : begin + BATCH]
        scores[part] = model.score(decided.vectors[part])
        progress("scoring", len(part))
    return scores


def _model(number: int | None) -> Model:
    """Return a version of the model, verified, or the champion; ModelError if it is not there or not ours."""
    name = manifests.REGISTERED_NAME
    found = mlflow.by_alias(name, CHAMPION) if number is None else mlflow.by_number(name, number)
    if found is None:
        what = "no champion" if number is None else f"no version {number}"
        raise ModelError(f"MLflow has {what} of {name}: `python -m ml train` makes one")
    files = {each: mlflow.download(found, each) for each in (manifests.MANIFEST_FILE, *manifests.FILES)}
    return load(str(found.number), files[manifests.MANIFEST_FILE], found.tags.get(manifests.SHA_TAG), files)
