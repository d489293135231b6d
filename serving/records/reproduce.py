"""Makes decisions again from their records and the models they name, and says what is not the same to the bit."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
import orjson

import features
from clients import registry
from contracts import wire
from contracts.wire import Writer
from epoch import from_us
from errors import InputError, LakehouseError, RejectedError, ServerError
from features import FeatureVector, Profile, Status
from lake import reading
from lake.tables import BRONZE_DECISIONS
from scoring.decision import Scored, decide
from scoring.model import Model
from scoring.notes import Note
from scoring.rules import By, Entry, ListName, RuleSet
from scoring.ruling import Ruling, rule
from serving.decide.record import RUNTIME
from serving.models.archive import archived
from serving.policy import in_force as inforce
from serving.records.find import Record, distinct, find

Models = Callable[[str | None, str | None], tuple[Model, str]]
"""From a record's model_version and model_sha256 to the model and where its files were; LakehouseError if neither."""
Rules = Callable[[str], RuleSet]
"""From a record's rules_version to the rules; LakehouseError if they are not archived."""
FROM_PAYMENT = ("source", "transaction_id", "card_id", "event_time")
SHOWN = (
    "source",
    "transaction_id",
    "decision_id",
    "origin",
    "payment_partition",
    "payment_offset",
    "decision",
    "decided_by",
    "score",
    "rules_version",
    "rules",
    "model_version",
    "model_sha256",
    "schema_hash",
    "runtime",
)
UNKNOWN = Profile(Status.ABSENT)


@dataclass(frozen=True)
class Verdict:
    """One decision made again: what differs and the likely cause, where the model's files were, what went unchecked."""

    record: Record
    times: int
    differences: tuple[str, ...]
    scored: Scored | None
    origin: str | None
    cause: str | None
    unchecked: str | None

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def line(self) -> str:
        """Return what a person needs, on one line."""
        found = self.record
        by = f"model {found['model_version']} from {self.origin}" if self.origin else found["decided_by"]
        verdict = "identical" if self.identical else "differs: " + "; ".join(self.differences)
        return "".join(
            [
                f"{_iso(found['decided_at'])} {found['source']} {found['transaction_id']}",
                f" {_door(found)}, {found['decision']} by {by}",
                f", recorded {self.times} times" if self.times > 1 else "",
                f": {verdict}",
                f"; likely cause: {self.cause}" if self.cause else "",
                f"; not checked: {self.unchecked}" if self.unchecked else "",
            ]
        )

    @property
    def summary(self) -> Record:
        """Return the same for programs, as JSON takes it; `ulps` are between the two scores, of float32."""
        then, now = self.record["score"], self.scored and self.scored.score
        return {name: self.record[name] for name in SHOWN} | {
            "decided_at": _iso(self.record["decided_at"]),
            "times": self.times,
            "identical": self.identical,
            "differences": self.differences,
            "cause": self.cause,
            "unchecked": self.unchecked,
            "model_from": self.origin,
            "runtime_here": RUNTIME,
            "score_here": now,
            "ulps": None if then is None or now is None else _ulps(then, now),
        }


def run(transaction_id: str, source: str | None = None) -> list[Verdict]:
    """Make every decision on a payment again, newest last; InputError if Bronze has none."""
    records = find(reading.open_table(BRONZE_DECISIONS), transaction_id, source)
    if not records:
        of = f" of source {source}" if source else ""
        raise InputError(
            f"no decision on payment {transaction_id}{of} in {BRONZE_DECISIONS} ({BRONZE_DECISIONS.path})."
            " Decisions land there a few seconds after they are made"
        )
    models, writer, rules = cache(archived), registry.writers(), cache(inforce.archived)
    return [judge(record, models, writer, times, rules) for record, times in distinct(records)]


def judge(record: Record, models: Models, writer: Writer, times: int = 1, rules: Rules = inforce.archived) -> Verdict:
    """Make one decision again and compare; never raises for what a record, the archive or the registry lacks."""
    wrong, unchecked, payment = _payment(record, writer)
    if record["schema_hash"] != features.SCHEMA_HASH:
        wrong.append(f"schema_hash: {record['schema_hash']} in the record, {features.SCHEMA_HASH} is this program's")
    vector, more = _vector(record)
    wrong += more
    if vector is not None:
        vector = vector._replace(is_utc=_is_utc(record, payment))
    scored, origin, other = None, None, list[str]()
    if record["model_version"] is None and record["decided_by"] != "model":
        if record["score"] is not None:
            wrong.append(f"score: {record['score']} without a model")
        if vector is not None:
            other += _ruled(record, vector, None, 0.0, payment, rules)
    else:
        try:
            model, origin = models(record["model_version"], record["model_sha256"])
        except LakehouseError as error:
            wrong.append(f"not scored: {error}")
        else:
            if vector is not None:
                scored = decide(model, [vector], [_explained(record)])[0]
                other = _differences(record, scored, model)
                other += _ruled(record, vector, scored, model.manifest.threshold, payment, rules)
    cause = _cause(record, contradicted=bool(more)) if other else None
    return Verdict(record, times, (*other, *wrong), scored, origin, cause, unchecked)


def _explained(record: Record) -> bool:
    """Whether the record has reasons of the model, which a caller may have asked for where it approves."""
    try:
        return any(reason["weight"] is not None for reason in orjson.loads(record["reasons"]))
    except (ValueError, TypeError, KeyError):
        return False


def _payment(record: Record, writer: Writer) -> tuple[list[str], str | None, Record | None]:
    try:
        _, payment = wire.decode(record["payment"], writer, "transaction")
    except RejectedError as error:
        return [f"payment: {error}"], None, None
    except ServerError as error:
        return [], f"its payment{', and so its rules' if record['rules_version'] else ''}: {error}", None
    return (
        [
            f"{name}: {record[name]} in the record, {payment[name]} in its payment"
            for name in FROM_PAYMENT
            if record[name] != payment[name]
        ],
        None,
        payment,
    )


def _ruled(
    record: Record, vector: FeatureVector, scored: Scored | None, threshold: float, payment: Record | None, rules: Rules
) -> list[str]:
    """Return where model, rules and notes come to another decision now; nothing if rules are needed and no payment."""
    version = record["rules_version"]
    if version is not None and payment is None:
        return []
    try:
        kept = orjson.loads(record["rules"] or "{}")
        entries = tuple(_entry(each) for each in kept.get("lists", ()))
        ruleset = replace(rules(version), listed=lambda *_: entries) if version else None
        notes = [Note.restore(each) for each in kept.get("notes", ())]
    except (LakehouseError, ValueError, AttributeError, KeyError) as error:
        return [f"not ruled: {error}"]
    now_us = record["decided_at"]
    found = rule(ruleset, payment or {}, vector, scored, threshold=threshold, notes=notes, now_us=now_us)
    pairs = {
        "decision": (record["decision"], found.decision.value),
        "decided_by": (record["decided_by"], found.decided_by.value),
        "reasons": (record["reasons"], _reasons(found)),
        "rules": (record["rules"], found.text),
    }
    return _different(pairs)


def _entry(listed: Mapping[str, str]) -> Entry:
    """Return the entry of a list that the record says the payment stood on; lists change by the minute."""
    return Entry.model_construct(list=ListName(listed["list"]), by=By(listed["by"]), reason=listed["reason"])


def _reasons(ruling: Ruling) -> str:
    return orjson.dumps([asdict(reason) for reason in ruling.reasons]).decode()


def _different(pairs: Mapping[str, tuple[object, object]]) -> list[str]:
    return [f"{name}: {then} then, {now} now" for name, (then, now) in pairs.items() if then != now]


def _is_utc(record: Record, payment: Record | None) -> bool:
    """Return whether reasons name an hour of UTC; of a payment that cannot be read, whether the record's do."""
    return ":00 UTC" in (record["reasons"] or "") if payment is None else payment.get("utc_offset_min") is None


def _vector(record: Record) -> tuple[FeatureVector | None, list[str]]:
    """Return the vector, and where the record's two forms of it, bytes and numbers to be read, are not the same."""
    content, width = record["vector"], len(features.NAMES)
    if len(content) != 4 * width:
        return None, [f"vector: {len(content)} bytes, {4 * width} hold this program's {width} features"]
    row = np.frombuffer(content, "<f4")
    values = row.astype(np.float64)
    # Words are made of the float64 that was cast, so they need `features`; what is not finite stands there as null.
    try:
        told = orjson.loads(record["features"])
        read = np.array([np.nan if told[name] is None else told[name] for name in features.NAMES], np.float64)
    except (ValueError, TypeError, KeyError) as error:
        wrong = [f"features: not a number or null for each of this program's: {error}"]
    else:
        cast = read.astype(np.float32)
        same = (cast.view(np.int32) == row.view(np.int32)) | (np.isnan(read) & ~np.isfinite(row))
        values = np.where(same & np.isfinite(row), read, values)
        wrong = [
            f"{features.NAMES[each]}: {cast[each]:.9g} in features, {row[each]:.9g} in the vector"
            for each in np.flatnonzero(~same)
        ]
    return FeatureVector(tuple(values.tolist()), UNKNOWN, UNKNOWN, UNKNOWN), wrong


def _differences(record: Record, scored: Scored, model: Model) -> list[str]:
    pairs = {
        "score": (record["score"], scored.score),
        "margin": (record["margin"], scored.margin),
        "threshold": (record["threshold"], model.manifest.threshold),
    }
    found = _different(pairs)
    if record["score"] not in {None, scored.score}:
        apart = _ulps(record["score"], scored.score)
        found[0] += f" ({apart} ulp{'s' if apart != 1 else ''})"
    return found


def _ulps(one: float, other: float) -> int:
    """Return how many float32 lie between two probabilities, the second one counted."""
    first, second = (int(np.float32(each).view(np.int32)) for each in (one, other))
    return abs(first - second)


def _iso(time_us: int) -> str:
    return from_us(time_us).isoformat()


def _door(record: Record) -> str:
    if record["origin"] == "api":
        return f"asked of /predict by request {record['request_id']}"
    return f"at {record['payment_partition']}:{record['payment_offset']}"


def _cause(record: Record, *, contradicted: bool) -> str:
    if contradicted:
        return "the record was changed: its vector is not that of its features"
    if record["runtime"] != RUNTIME:
        return f"made by {record['runtime']}, made again by {RUNTIME}"
    return "unexplained"
