"""What the OpenAPI page says of the routes of alerts: examples, and the problems that each may answer with."""

from typing import Any

from serving.http.problems import MEDIA_TYPE, PROBLEM_SCHEMA

CARD_ID = "9b74c9897bac770ffc029102a200c5de0c7e2f9a4d0b1c2d3e4f5061728394a5"
REASONS = [
    {
        "code": "velocity",
        "weight": 2.1,
        "text": "6 payments in the 5 minutes before this one; this card's usual day has 2",
    }
]
ALERT = {
    "alert_id": 41,
    "transaction_id": "pay-0007",
    "source": "acquirer-1",
    "card_id": CARD_ID,
    "state": "open",
    "action": "block",
    "opened_at": "2026-11-22T02:15:00Z",
    "last_at": "2026-11-22T02:19:30Z",
    "payments": 3,
    "unpriced": 0,
    "amount": "748.90",
    "expected_loss": "640.20",
    "max_score": 0.93,
    "reasons": REASONS,
    "change": 1207,
    "assignee": "j.doe",
    "assigned_at": "2026-11-22T02:21:00Z",
}
PAYMENT = {
    "decision_id": "2:70114",
    "source": "acquirer-1",
    "transaction_id": "pay-0007",
    "card_id": CARD_ID,
    "event_time": "2026-11-22T02:19:30Z",
    "decided_at": "2026-11-22T02:19:30.004Z",
    "origin": "stream",
    "action": "block",
    "decided_by": "model",
    "score": 0.93,
    "amount": "499.90",
    "amount_minor": 49990,
    "currency": "USD",
    "acceptor": "M-77",
    "mcc": "5732",
    "country": "US",
    "entry_mode": "ecommerce",
    "latitude": None,
    "longitude": None,
    "degraded": False,
    "reasons": REASONS,
    "alert_id": 41,
    "verdict": None,
}
PAGE = {"currency": "USD", "alerts": [ALERT], "next_cursor": "WyJyZWNlbnQiLGZhbHNlLCI2NDAuMjAiLDQxXQ"}
SAID = {
    "verdict": "fraud",
    "by": "j.doe",
    "note": "the holder has the card and was asleep",
    "known_at": "2026-11-22T02:25:00Z",
    "payments": [{"source": "acquirer-1", "transaction_id": "pay-0007"}],
}
DETAIL = {
    "currency": "USD",
    "alert": ALERT,
    "payments": [PAYMENT],
    "dispositions": [SAID | {"sent_at": "2026-11-22T02:25:00.02Z"}],
}
CARD = {"currency": "USD", "card_id": CARD_ID, "payments": [PAYMENT], "alerts": [ALERT]}
PAYMENTS = {"currency": "USD", "payments": [PAYMENT | {"action": "approve", "alert_id": None}], "next_cursor": None}
ASSIGNMENTS = {
    "mine": {"value": {}},
    "a colleague is away": {"value": {"takes_over": True}},
}
DISPOSED = SAID | {"alert_id": 41, "state": "fraud", "labels": 1, "repeated": False, "suppressed": None}
BODIES = {
    "fraud, and two payments before it too": {
        "value": {
            "verdict": "fraud",
            "note": "the holder has the card and was asleep",
            "also": ["pay-0005", "pay-0006"],
        },
    },
    "fraud, the whole alert": {"value": {"verdict": "fraud", "whole": True}},
    "genuine after all": {"value": {"verdict": "genuine", "note": "called back: it was the holder", "corrects": True}},
    "not sure yet": {"value": {"verdict": "unsure", "note": "no answer on the phone"}},
}
SUMMARY = {
    "hours": 24,
    "currency": "USD",
    "decided": 43210,
    "by_action": {"approve": 42890, "review": 301, "block": 19},
    "by_decider": {"model": 43150, "rule": 60},
    "approval_rate": 0.9926,
    "degraded": 12,
    "unpriced": 7,
    "amount": "2512345.50",
    "alerts_opened": 210,
    "alerts_by_state": {"open": 57, "fraud": 121, "genuine": 32},
    "open_expected_loss": "18230.40",
    "dispositions": {"fraud": 88, "genuine": 25, "unsure": 4},
}
SERIES = {
    "hours": 1,
    "bucket_s": 900,
    "points": [
        {
            "at": "2026-11-22T02:15:00Z",
            "decided": 451,
            "not_approved": 6,
            "blocked": 1,
            "degraded": 0,
            "amount": "20412.50",
            "amount_not_approved": "1204.00",
        }
    ],
}
HEALTH = {
    "ok": False,
    "at": "2026-11-22T02:20:00Z",
    "components": [
        {"name": "stream", "ok": True, "said": "0 records behind", "figures": {"lag": 0, "p99_ms": 21.0}},
        {"name": "postgres", "ok": False, "said": "the alerts' history does not answer", "figures": {}},
    ],
}
TROUBLES = {
    "at": "2026-11-22T02:20:00Z",
    "troubles": [
        {
            "severity": "warning",
            "component": "postgres",
            "do": "make logs S=postgres",
            "what": "the alerts' history does not answer: no alerts can be seen here; decisions go on",
        }
    ],
}
DESCRIPTIONS = {
    401: "no API key, or one that is not known",
    404: "no alert has such a payment, or none is kept",
    409: "payments of several sources have this id, it was judged otherwise before, or somebody else has it",
    413: "the body is too large",
    422: "a value is malformed: `errors` names field, code and reason",
    503: "PostgreSQL or Kafka does not answer; see Retry-After",
}
KEY: dict[str, Any] = {"security": [{"ApiKey": []}]}


def answers(example: Any, *problems: int, bodies: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a route says: an example of its good answer, its problems, and examples of bodies that it takes."""
    said: dict[int | str, dict[str, Any]] = {status: _problem(status) for status in (401, *problems)}
    said[200] = {"content": {"application/json": {"example": example}}}
    taken = {"requestBody": {"content": {"application/json": {"examples": bodies}}}} if bodies else {}
    return {"responses": said, "openapi_extra": KEY | taken}


def _problem(status: int) -> dict[str, Any]:
    return {
        "description": DESCRIPTIONS[status],
        "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}},
    }


STREAM: dict[str, Any] = {
    "summary": "Changes of alerts as they happen (server-sent events)",
    "responses": {
        200: {
            "description": "events `alert` whose data is an alert as in /alerts/recent; their id is its change",
            "content": {"text/event-stream": {"example": "retry: 2000\n\nid: 1207\nevent: alert\ndata: {...}\n\n"}},
        },
        401: _problem(401),
        422: _problem(422),
        503: _problem(503),
    },
    "openapi_extra": dict(KEY),
}
