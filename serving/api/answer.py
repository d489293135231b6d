"""What a decision says to the caller: the published form, as a view of the decision record."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from epoch import from_day
from features import Group, Status
from serving.http.problems import Problem
from serving.outbox.shipper import Standing

WHY = {
    Status.STALE: "older than its time to live, or never made for this program's features",
    Status.FUTURE: "published for a day after the payment's",
    Status.LATE: "the payment is older than its card's window can answer for",
    Status.UNREACHABLE: "the online store did not answer in time",
    Status.UNPRICED: "there is no exchange rate for its currency: its amount is unknown to rules and model",
}


class Reason(BaseModel):
    """A rule or list that matched, or one thing that pushed the score upward."""

    code: str = Field(
        description="stable: amount, spending, velocity, time_of_day, place, entry, merchant, "
        "merchant_category, card_activity, card_age; deny_list, allow_list, watch_list; or the name of "
        "a rule"
    )
    text: str
    weight: float | None = Field(description="its push, in log-odds; null for a rule or list")


class RuleHit(BaseModel):
    """A rule whose condition held."""

    name: str
    action: Literal["approve", "review", "step_up", "block"]
    shadow: bool = Field(description="only recorded: a shadow rule never acts")


class ListHit(BaseModel):
    """A list's entry that names this payment."""

    list: Literal["deny", "allow", "watch"]
    by: Literal["card", "account", "acceptor", "device"]
    reason: str


class NoteUsed(BaseModel):
    """A note on the card that was in force."""

    kind: Literal["travel", "cleared"]
    until_us: int = Field(description="microseconds since 1970, UTC")
    codes: list[str] | None = Field(description="reasons that it covers; null: all")


class RulesOutcome(BaseModel):
    """What rules, lists and notes said."""

    acted: str | None = Field(description="the rule or list that decided, by its code; null: none did")
    hits: list[RuleHit]
    lists: list[ListHit]
    failed: list[str] = Field(description="rules that could not be evaluated, and so did not match")
    suppressed: list[str] = Field(description="reasons for which a note kept an alert back")
    notes: list[NoteUsed]


class GroupAge(BaseModel):
    """How old a group of features was."""

    status: Status
    as_of_day: date | None = Field(description="of a daily profile: the day that it describes the time before")
    age_s: int | None = Field(
        description="seconds by which it was older than the payment: from the start of that day, or for the window "
        "from the moment to which the stream had observed payments"
    )


class Missing(BaseModel):
    """A group of features that should have been there."""

    group: Group
    status: Status
    why: str


class ModelId(BaseModel):
    """Which model decided; `sha256` is of its manifest, which names every file."""

    version: str
    sha256: str


class Observed(BaseModel):
    """Where a payment that was to be observed stands on Kafka, or why it may not."""

    partition: int | None
    offset: int | None
    why: str | None


class Answer(BaseModel):
    """A decision on one payment."""

    request_id: str = Field(description="of the request that was decided; a repeat has that of the first")
    decision_id: str = Field(description="the decision's key, under which it stands on Kafka and in the lake")
    source: str
    transaction_id: str
    score: float | None = Field(ge=0, le=1, description="probability of fraud; null without a model")
    decision: Literal["approve", "review", "step_up", "block"]
    decided_by: Literal["model", "rule", "fallback", "control"] = Field(
        description="rule: a rule or a list; fallback: there is no model, and no rule had anything to say; "
        "control: rules would have blocked it, and it passes to measure blocking"
    )
    threshold: float | None = Field(description="the model sends scores at and above it to review; null without one")
    reasons: list[Reason] = Field(
        description="rules and lists first; then the model's, strongest first, where it does not approve or the "
        "request said explain: true; missing values are never a reason"
    )
    rules: RulesOutcome | None = Field(description="null when rules, lists and notes had nothing to say")
    rules_version: str | None = Field(description="SHA-256 of the rules in force")
    features: dict[Literal["card", "acceptor", "window"], GroupAge]
    degraded: bool = Field(description="decided without a group of features that should be there")
    degraded_groups: list[Missing]
    model: ModelId | None
    schema_hash: str
    observed: Observed | None = Field(default=None, description="only when the request said observe: true")


class BatchItem(BaseModel):
    """The answer to one payment of a batch, or what is wrong with it."""

    status: int
    answer: Answer | None = None
    problem: Problem | None = None


class BatchAnswer(BaseModel):
    """The answers to a batch, in its order."""

    request_id: str
    results: list[BatchItem]


def view(record: Mapping[str, Any], observed: Mapping[str, Any] | None = None) -> bytes:
    """Return the JSON of an Answer: what a decision record (contracts/decision.avsc) says to the caller."""
    model = None
    if record["model_version"] is not None:
        model = {"version": record["model_version"], "sha256": record["model_sha256"]}
    degraded = orjson.loads(record["degraded"]) if record["degraded"] is not None else {}
    said: dict[str, Any] = {
        "request_id": record["request_id"],
        "decision_id": record["decision_id"],
        "source": record["source"],
        "transaction_id": record["transaction_id"],
        "score": record["score"],
        "decision": record["decision"],
        "decided_by": record["decided_by"],
        "threshold": record["threshold"],
        "reasons": orjson.Fragment(record["reasons"]),
        "rules": None if record["rules"] is None else orjson.Fragment(record["rules"]),
        "rules_version": record["rules_version"],
        "features": {group: _age(known) for group, known in orjson.loads(record["groups"]).items()},
        "degraded": bool(degraded),
        "degraded_groups": [{"group": g, "status": s, "why": WHY[Status(s)]} for g, s in degraded.items()],
        "model": model,
        "schema_hash": record["schema_hash"],
    }
    return orjson.dumps(said if observed is None else said | {"observed": observed})


def observed(standing: Standing | None) -> dict[str, Any]:
    """Return what an answer says of its payment's place on Kafka; None: Kafka has not said it in time."""
    if standing is not None:
        return {"partition": standing.partition, "offset": standing.offset, "why": None}
    why = (
        "Kafka has not acknowledged the payment yet: it is on this scorer's disk and is sent when Kafka answers; "
        "asking again does no harm, repeats count once"
    )
    return {"partition": None, "offset": None, "why": why}


def _age(known: Mapping[str, Any]) -> dict[str, str | int | None]:
    day = known["as_of_day"]
    return {"status": known["status"], "as_of_day": None if day is None else _iso(day), "age_s": known["age_s"]}


@lru_cache(maxsize=256)
def _iso(day: int) -> str:
    return from_day(day).isoformat()
