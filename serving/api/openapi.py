"""What the OpenAPI page says of each route: bodies, answers and problems, with examples that work."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from serving.api.answer import Answer, BatchAnswer
from serving.api.payload import batch_schema, payment_schema
from serving.config import LARGEST_BATCH
from serving.http import problems
from serving.http.problems import MEDIA_TYPE, PROBLEM_SCHEMA

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
    "decision_id": "api:9f86d081884c7d659a2feaa0c55ad015",
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


def problem(description: str) -> dict[str, Any]:
    """Return what the page says of an answer that is a problem document."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}


PAYMENT = {"$ref": "#/components/schemas/PaymentRequest"}
SCHEMAS = problems.SCHEMAS | {"PaymentRequest": payment_schema() | {"title": "PaymentRequest"}}
"""What FastAPI cannot derive, since the bodies of these routes are read by hand."""
ANYWHERE: dict[str, dict[str, Any]] = {
    "400": problem("no HTTP: the connection is closed"),
    "405": problem("the path has no such method; see Allow"),
    "408": problem("head and body did not come in time; the connection is closed"),
    "413": problem("the body is too large"),
    "500": problem("the scorer failed; its log has the request id"),
    "503": problem("the scorer has more connections than it can serve; see Retry-After"),
}
"""What may answer a request on any route."""
WITH_KEY: dict[str, dict[str, Any]] = {
    "401": problem("no API key, or one that is not known"),
    "429": problem("too many payments a second with this key; see Retry-After"),
}
KEY: dict[str, Any] = {"security": [{"ApiKey": []}]}


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}
    }


PREDICT: dict[str, Any] = {
    "summary": "Decide on one payment",
    "operation_id": "predict",
    "response_model": None,
    "responses": {
        200: {"model": Answer, "content": {"application/json": {"example": ANSWER}}},
        409: problem("the same source and transaction_id with another body"),
        422: problem(
            "malformed, or the contract refuses a value: `errors` names field, code and reason; `set_aside`: a refund "
            "or a reversal, which nobody decides"
        ),
        503: problem("the decision cannot be recorded, or no key can be judged: ask another scorer"),
    },
    "openapi_extra": KEY | _body(PAYMENT, EXAMPLES),
}
BATCH: dict[str, Any] = {
    "summary": f"Decide on up to {LARGEST_BATCH} payments; each is answered by itself",
    "operation_id": "predict_batch",
    "response_model": None,
    "responses": {
        200: {
            "model": BatchAnswer,
            "content": {
                "application/json": {"example": {"request_id": "a1", "results": [{"status": 200, "answer": ANSWER}]}}
            },
        },
        422: problem("no batch; what is wrong with a payment stands in its place, with 200 for the batch"),
        503: problem("the decision cannot be recorded, or no key can be judged: ask another scorer"),
    },
    "openapi_extra": KEY | _body(batch_schema(PAYMENT), {"two payments": {"value": {"payments": [EXAMPLE, MINIMAL]}}}),
}
MODEL: dict[str, Any] = {
    "summary": "The model in use, its manifest, and a champion that was refused",
    "operation_id": "model",
    "response_model": None,
    "openapi_extra": KEY,
}
LIVE: dict[str, Any] = {"summary": "The process answers", "operation_id": "live", "response_model": None}
READY: dict[str, Any] = {
    "summary": "A model is loaded, rules are in force if there are any, and decisions can be recorded",
    "operation_id": "ready",
    "response_model": None,
    "responses": {
        503: problem("no model has been loaded yet, no rules are in force, no keys are, or nothing can be recorded")
    },
}
METRICS: dict[str, Any] = {
    "summary": "For Prometheus; the key may also be sent as `Authorization: Bearer`",
    "operation_id": "metrics",
    "response_class": PlainTextResponse,
    "response_model": None,
    "openapi_extra": KEY,
}


def complete(app: FastAPI) -> None:
    """Write into the page what holds for every route: the key's scheme, the bodies' schemas, the problems anywhere.

    Described are also the answers of the HTTP protocol and of the guard, which no route knows of.
    """
    page = app.openapi()  # made once and kept
    components = page["components"]
    components["securitySchemes"] = {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
    components["schemas"] |= SCHEMAS
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of 422, which nobody gets
        components["schemas"].pop(name, None)
    for operation in (each for path in page["paths"].values() for each in path.values()):
        everywhere = ANYWHERE | (WITH_KEY if operation.get("security") else {})
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            operation["responses"]["422"] = problem("a value is malformed")
        operation["responses"] = dict(sorted({**everywhere, **operation["responses"]}.items()))
