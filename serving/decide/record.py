"""The decision record: the payment, what was known, the vector, the score and its cause; enough to make it again."""

import platform
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import orjson

import features
from features import SECOND_US, FeatureVector, Profile
from scoring.decision import Scored
from scoring.manifest import CHALLENGER, CHAMPION
from scoring.model import Model
from scoring.ruling import Ruling

RUNTIME = f"onnxruntime {onnxruntime.__version__} {platform.machine()}"
LITTLE = np.dtype("<f4")
Record = dict[str, Any]
ChallengerScore = tuple[str, float]
"""A challenger's version and its score."""

WITHOUT_MODEL = dict.fromkeys(("score", "margin", "threshold", "model_version", "model_sha256"))


class Subject(NamedTuple):
    """A payment to decide: what it says, its frame, the decision's key, and the door by which it came.

    From the stream it has its place on Kafka; from the API the request's id, and whether it is to be observed.
    """

    payment: Record
    framed: bytes
    decision_id: str
    origin: str
    partition: int | None = None
    offset: int | None = None
    request_id: str | None = None
    observe: bool | None = None


def draft(subject: Subject, vector: FeatureVector) -> Record:
    """Return what the record (contracts/decision.avsc) of a payment holds before anything is decided."""
    payment, degraded = subject.payment, vector.degraded
    time_us = payment["event_time"]
    return {
        "source": payment["source"],
        "transaction_id": payment["transaction_id"],
        "card_id": payment["card_id"],
        "event_time": time_us,
        "decision_id": subject.decision_id,
        "origin": subject.origin,
        "request_id": subject.request_id,
        "observe": subject.observe,
        "payment_partition": subject.partition,
        "payment_offset": subject.offset,
        "degraded": _json(degraded) if degraded else None,
        "groups": _json(
            {
                "card": _known(vector.card, time_us),
                "acceptor": _known(vector.acceptor, time_us),
                "window": _known(vector.window, time_us),
            }
        ),
        "vector": vector.to_array().astype(LITTLE, copy=False).tobytes(),
        "features": _json(dict(zip(features.NAMES, vector.values, strict=True))),
        "schema_hash": features.SCHEMA_HASH,
        "runtime": RUNTIME,
        "payment": subject.framed,
        "payment_fields": None if subject.partition is not None else _json(payment),
        **WITHOUT_MODEL,
    }


def add_model(record: Record, scored: Scored | None, model: Model | None, challenger: ChallengerScore | None) -> None:
    """Complete a draft by what the model says, and perhaps a challenger; None: there is no model."""
    scores = []
    if scored is not None and model is not None:
        record["score"] = scored.score
        record["margin"] = scored.margin
        record["threshold"] = model.manifest.threshold
        record["model_version"] = model.version
        record["model_sha256"] = model.sha256
        scores.append({"role": CHAMPION, "version": model.version, "score": scored.score})
    if challenger is not None:
        scores.append({"role": CHALLENGER, "version": challenger[0], "score": challenger[1]})
    record["scores"] = _json(scores)


def add_ruling(record: Record, ruling: Ruling, rules_version: str | None, at_us: int, stages: str) -> None:
    """Complete a draft by the decision, made at `at_us` (UTC microseconds) under a version of the rules."""
    record["decided_at"] = at_us
    record["decision"] = str(ruling.decision)
    record["decided_by"] = str(ruling.decided_by)
    record["reasons"] = _json([{"code": r.code, "text": r.text, "weight": r.weight} for r in ruling.reasons])
    record["rules_version"] = rules_version
    record["rules"] = ruling.text
    record["stages_us"] = stages


def age_s(profile: Profile, event_time_us: int) -> int | None:
    """Return the seconds by which a group was older than the payment; None if that is not known.

    A daily profile counts from the start of its day, a window from the moment to which payments were observed.
    """
    if profile.at_us is not None:
        return max(0, event_time_us - profile.at_us) // SECOND_US
    return None if profile.day is None else (event_time_us - profile.day * features.DAY_US) // SECOND_US


def _known(profile: Profile, event_time_us: int) -> Record:
    return {
        "status": profile.status,
        "as_of_day": profile.day,
        "profile_version": profile.version,
        "age_s": age_s(profile, event_time_us),
    }


def _json(value: object) -> str:
    return orjson.dumps(value).decode()  # NaN becomes null
