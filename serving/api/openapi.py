"""What the OpenAPI page says of each route: bodies, answers and problems, with examples that work."""

from typing import Any

from fastapi import FastAPI

from serving.api.answer import Answer, BatchAnswer
from serving.api.payload import batch_schema, payment_schema
from serving.http.problems import MEDIA_TYPE, Problem

DESCRIPTION = """Decides on card payments: `POST /predict` takes a payment as you have it and answers with a score, a
decision, its reasons in words, and how old the features were. Send your key as `X-API-Key`. The same (source,
transaction_id) with the same body gets the same answer for 24 hours."""
EXAMPLE = {
    "source": "acquirer-1",
    "transaction_id": "pay-0001",
    "event_time": "2026-11-21T02:15:00Z",
    "card_number": "4111 1111 1111 1111",
    "amount": "249.90",
    "currency": "USD",
    "merchant_id": "M-77",
    "mcc": "5732",
    "merchant_country": "US",
    "card_country": "US",
    "entry_mode": "ecommerce",
    "authentication": "3ds_challenge",
}
MINIMAL = {
    "source": "acquirer-1",
    "transaction_id": "pay-0002",
    "event_time": 1795227300000000,
    "card_id": "9b74c9897bac770ffc029102a200c5de0c7e2f9a4d0b1c2d3e4f5061728394a5",
    "amount_minor": 1250,
    "currency": "EUR",
}
EXAMPLES = {
    "a card payment on the web": {"value": EXAMPLE},
    "only the required fields, the card already hashed": {"value": MINIMAL},
}
ANSWER = {
    "request_id": "5f0c8a1b9e2d4c6f7a8b9c0d",
    "source": "acquirer-1",
    "transaction_id": "pay-0001",
    "score": 0.8312,
    "decision": "review",
    "decided_by": "model",
    "threshold": 0.42,
    "reasons": [
        {
            "code": "amount",
            "weight": 2.31,
            "text": "249.90 USD is 9.8 times this card's 30-day average of 25.50 USD, and above its largest, 61.00 USD",
        },
        {
            "code": "time_of_day",
            "weight": 0.87,
            "text": "paid about 02:00 local time, when this card makes 1% of its payments",
        },
    ],
    "rules": {
        "acted": None,
        "hits": [{"name": "far_above_usual", "action": "review", "shadow": True}],
        "lists": [],
        "failed": [],
        "suppressed": [],
        "notes": [],
    },
    "rules_version": "2b5c8d1e7f90a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667788990",
    "features": {
        "card": {"status": "fresh", "as_of_day": "2026-11-21", "age_s": 8100},
        "acceptor": {"status": "new", "as_of_day": "2026-11-21", "age_s": 8100},
        "window": {"status": "fresh", "as_of_day": None, "age_s": 1},
    },
    "degraded": False,
    "degraded_groups": [],
    "model": {"version": "3", "sha256": "6f1ed002ab5595859014ebf0951522d9e2f4a2b7c1d3e5f60718293a4b5c6d7e"},
    "schema_hash": "1c3d5e7f90a1b2c3d4e5f60718293a4b5c6d7e8f9001122334455667788990aa",
}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: _problem("no API key, or one that is not known"),
    413: _problem("the body is too large"),
    422: _problem("malformed, or the contract refuses a value: `errors` names field, code and reason"),
    429: _problem("too many payments a second with this key; see Retry-After"),
    503: _problem("no model has been loaded yet"),
}
KEY: dict[str, Any] = {"security": [{"ApiKey": []}]}


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}
    }


PREDICT: dict[str, Any] = {
    "summary": "Decide on one payment",
    "response_model": None,
    "responses": {
        200: {"model": Answer, "content": {"application/json": {"example": ANSWER}}},
        409: _problem("the same source and transaction_id with another body"),
        **PROBLEMS,
    },
    "openapi_extra": KEY | _body(payment_schema(), EXAMPLES),
}
BATCH: dict[str, Any] = {
    "summary": "Decide on up to 200 payments; each is answered by itself",
    "response_model": None,
    "responses": {
        200: {
            "model": BatchAnswer,
            "content": {
                "application/json": {"example": {"request_id": "a1", "results": [{"status": 200, "answer": ANSWER}]}}
            },
        },
        **PROBLEMS,
    },
    "openapi_extra": KEY | _body(batch_schema(), {"two payments": {"value": {"payments": [EXAMPLE, MINIMAL]}}}),
}
MODEL: dict[str, Any] = {
    "summary": "The model in use, its manifest, and a champion that was refused",
    "response_model": None,
    "responses": {401: PROBLEMS[401]},
    "openapi_extra": KEY,
}
LIVE: dict[str, Any] = {"summary": "The process answers", "response_model": None}
READY: dict[str, Any] = {
    "summary": "A model is loaded, and rules are in force if there are any; without Redis answers are degraded",
    "response_model": None,
    "responses": {503: PROBLEMS[503]},
}
METRICS: dict[str, Any] = {"summary": "For Prometheus", "response_model": None}


def add_key_scheme(app: FastAPI) -> None:
    """Describe the API key once, for the page's Authorize button."""
    page = app.openapi()  # made once and kept
    page.setdefault("components", {})["securitySchemes"] = {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    }
