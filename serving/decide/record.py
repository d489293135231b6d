"""The decision record: the payment, what was known, the vector, the score and its cause; enough to make it again."""

import platform
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import orjson

import features
from features import FeatureVector, Profile
from scoring.decision import Scored
from scoring.manifest import CHALLENGER, CHAMPION
from scoring.model import Model
from scoring.ruling import Ruling
from serving.online.profiles import age_s
from serving.stream.intake import Arrival

RUNTIME = f"onnxruntime {onnxruntime.__version__} {platform.machine()}"
LITTLE = np.dtype("<f4")
Rival = tuple[str, float]
"""A challenger's version and its score."""


class Ruled(NamedTuple):
    """A ruling, the version of the rules it was made under, and when (UTC microseconds)."""

    ruling: Ruling
    rules_version: str | None
    at_us: int


def draft(arrival: Arrival, vector: FeatureVector) -> dict[str, Any]:
    """Return what the record (contracts/decision.avsc) of a payment says before anything is decided."""
    payment, degraded = arrival.payment, vector.degraded
    return {
        "source": payment["source"],
        "transaction_id": payment["transaction_id"],
        "card_id": payment["card_id"],
        "event_time": payment["event_time"],
        "payment_partition": arrival.partition,
        "payment_offset": arrival.offset,
        "degraded": _json(degraded) if degraded else None,
        "groups": _json(
            {
                "card": _known(vector.card, payment),
                "acceptor": _known(vector.acceptor, payment),
                "window": _known(vector.window, payment),
            }
        ),
        "vector": vector.to_array().astype(LITTLE, copy=False).tobytes(),
        "features": _json(dict(zip(features.NAMES, vector.values, strict=True))),
        "schema_hash": features.SCHEMA_HASH,
        "runtime": RUNTIME,
        "payment": arrival.value,
    }


def by_model(
    record: dict[str, Any], scored: Scored, model: Model, ruled: Ruled, stages: str, rival: Rival | None = None
) -> dict[str, Any]:
    """Complete the draft of a payment that the model scored, and perhaps a challenger, and return it."""
    scores = [{"role": CHAMPION, "version": model.version, "score": scored.score}]
    if rival:
        scores.append({"role": CHALLENGER, "version": rival[0], "score": rival[1]})
    record["score"] = scored.score
    record["margin"] = scored.margin
    record["threshold"] = model.manifest.threshold
    record["model_version"] = model.version
    record["model_sha256"] = model.sha256
    record["scores"] = _json(scores)
    return _ruled(record, ruled, stages)


def by_fallback(record: dict[str, Any], ruled: Ruled, stages: str) -> dict[str, Any]:
    """Complete the draft of a payment that came while there was no model: approved unless rules say otherwise."""
    record["scores"] = "[]"
    return _ruled(record, ruled, stages)


def _ruled(record: dict[str, Any], ruled: Ruled, stages: str) -> dict[str, Any]:
    ruling = ruled.ruling
    reasons = [{"code": each.code, "text": each.text, "weight": each.weight} for each in ruling.reasons]
    record["decided_at"] = ruled.at_us
    record["decision"] = str(ruling.decision)
    record["decided_by"] = str(ruling.decided_by)
    record["reasons"] = _json(reasons)
    record["rules_version"] = ruled.rules_version
    record["rules"] = ruling.text
    record["stages_us"] = stages
    return record


def _known(profile: Profile, payment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": profile.status,
        "as_of_day": profile.day,
        "profile_version": profile.version,
        "age_s": age_s(profile, payment["event_time"]),
    }


def _json(value: object) -> str:
    return orjson.dumps(value).decode()  # NaN becomes null
