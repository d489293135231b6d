"""What the scorer counts and times, for Prometheus."""

from collections.abc import Mapping
from typing import Any

import orjson
from prometheus_client import Counter, Gauge, Histogram

from scoring.decision import Decision
from scoring.ruling import Ruling
from serving.online.breaker import State

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0)

STAGE_SECONDS = Histogram("fraud_stage_seconds", "Seconds in a stage of a decision", ["stage"], buckets=BUCKETS)
REQUEST_SECONDS = Histogram(
    "fraud_request_seconds", "Seconds from a request's head to its answer", ["path"], buckets=BUCKETS
)
REQUESTS = Counter("fraud_requests", "Requests by path and status", ["path", "status"])
DECISIONS = Counter("fraud_decisions", "Decisions given, repeats not counted", ["decision"])
OBSERVED = Counter("fraud_payments_to_observe", "Payments to observe: did Kafka have them in time", ["acknowledged"])
REPEATS = Counter("fraud_repeated_answers", "Payments asked again and answered as before")
UNREADABLE = Counter("fraud_unreadable_fields", "Optional fields that could not be read, taken as absent", ["field"])
DEGRADED = Counter("fraud_degraded_groups", "Decisions made without a group of features", ["group", "status"])
BREAKER = Gauge("fraud_breaker_state", "1 for the state the breaker to Redis is in", ["state"])
MODEL = Gauge("fraud_model_info", "1 for the model in use", ["version", "sha256"])
MODEL_REFUSED = Counter("fraud_model_refused", "Champions that were not trusted and not used")
SPOOL = Gauge("fraud_spool_bytes", "Bytes of decisions on disk that Kafka does not have yet")
RULES = Gauge("fraud_rules_info", "1 for the rules in force", ["version"])
RULES_BAD = Gauge("fraud_rules_refused_now", "1 while the newest version of the rules is refused")
RULES_REFUSED = Counter("fraud_rules_refused", "Versions of the rules that were refused")
KEYS_BAD = Gauge("fraud_keys_file_bad", "1 while the file of API keys is refused and the last good ones are in force")
SIGN_INS = Counter("fraud_sign_ins", "Attempts to sign in to the console", ["outcome"])
TOKENS = Counter("fraud_tokens", "Card numbers sent to be turned into card_ids", ["principal"])
RULE_HITS = Counter("fraud_rule_hits", "Payments that rules matched", ["action", "shadow"])
RULE_FAILURES = Counter("fraud_rule_failures", "Payments on which a rule could not be evaluated")
SUPPRESSED = Counter("fraud_suppressed", "Reasons for an alert, or blocks, that a note kept back")
CONNECTIONS_CLOSED = Counter("fraud_connections_closed", "Connections that were closed by the scorer, and why", ["why"])
MLFLOW_FAILURES = Counter("fraud_champion_poll_failures", "Times that MLflow could not be asked who is champion")

parse_seconds = STAGE_SECONDS.labels("parse").observe
find_seconds = STAGE_SECONDS.labels("find").observe
score_seconds = STAGE_SECONDS.labels("score").observe
keep_seconds = STAGE_SECONDS.labels("keep").observe

predict_seconds = REQUEST_SECONDS.labels("/predict").observe
predicted = REQUESTS.labels("/predict", 200).inc
decided = {each: DECISIONS.labels(each.value).inc for each in Decision}


def show_breaker(state: State) -> None:
    """Set the gauge of each state; asked at scrape time, since open turns half open by the clock alone."""
    for each in State:
        BREAKER.labels(each.value).set(each is state)


def show_model(version: str, sha256: str) -> None:
    """Name the model in use, and only it."""
    MODEL.clear()
    MODEL.labels(version, sha256).set(1)


def show_rules(version: str) -> None:
    """Name the rules in force, and only them."""
    RULES.clear()
    RULES.labels(version).set(1)


def count_stages(stages: Mapping[str, int]) -> None:
    """Time the stages of a decision, in microseconds: finding what is known, and all that follows from it."""
    find_seconds(stages["find"] / 1e6)
    score_seconds((sum(stages.values()) - stages["find"]) / 1e6)


def count_decision(record: Mapping[str, Any], ruling: Ruling) -> None:
    """Count a decision that stands: what it is, what was missing for it, what rules and notes did.

    Rules not by name, which whoever scrapes could tune a fraud by.
    """
    decided[ruling.decision]()
    if record["degraded"] is not None:
        for group, status in orjson.loads(record["degraded"]).items():
            DEGRADED.labels(group, status).inc()
    for rule in ruling.hits.rules:
        RULE_HITS.labels(rule.action, rule.shadow).inc()
    RULE_FAILURES.inc(len(ruling.hits.failed))
    SUPPRESSED.inc(len(ruling.suppressed))
