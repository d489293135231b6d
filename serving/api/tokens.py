"""HTTP: card numbers turned into card_ids, for who produces to Kafka; nobody outside needs the key of the hash."""

import asyncio
import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from contracts.identity import keyed_hash, luhn
from serving import metrics
from serving.api import openapi
from serving.config import LARGEST_TOKENS
from serving.http import access, problems
from serving.http.access import Allow
from serving.principals.in_force import Accepted
from serving.principals.principal import Role

CARD_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18}").fullmatch
Sender = Annotated[Accepted, Depends(access.accepted)]
CHUNK = 20
"""Hashed before others get their turn of the loop: a third of a millisecond."""


class Cards(TypedDict):
    """Card numbers, as text."""

    __pydantic_config__ = {"strict": True, "extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012

    card_numbers: Annotated[list[Any], Field(min_length=1, max_length=LARGEST_TOKENS)]


class Token(BaseModel):
    """What stands for one card number; null with a `code` and a `reason` where there was none."""

    card_id: str | None = None
    code: str | None = None
    reason: str | None = None


class Tokens(BaseModel):
    """One for each card number, in their order."""

    tokens: list[Token]


REFUSED = {
    "card_id": None,
    "code": "not_a_card_number",
    "reason": "must be 12 to 19 digits as text with a right check digit, single spaces or dashes between if you like",
}
CARD_ID = "9b74c9897bac770ffc029102a200c5de0c7e2f9a4d0b1c2d3e4f5061728394a5"
ROUTE: dict[str, Any] = {
    "summary": f"Turn up to {LARGEST_TOKENS:,} card numbers into card_ids",
    "operation_id": "tokens",
    "response_model": None,
    "responses": {
        200: {"model": Tokens, "content": {"application/json": {"example": {"tokens": [{"card_id": CARD_ID}]}}}},
        422: openapi.problem("malformed: `errors` names field, code and reason, and never repeats a number"),
    },
    "openapi_extra": openapi.KEY
    | {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["card_numbers"],
                        "additionalProperties": False,
                        "properties": {
                            "card_numbers": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": LARGEST_TOKENS,
                                "items": {"description": "12 to 19 digits as text; each is answered by itself"},
                            }
                        },
                    },
                    "examples": {"one card": {"value": {"card_numbers": ["4111 1111 1111 1111"]}}},
                }
            },
        }
    },
}
_cards = TypeAdapter(Cards)


def router(key: bytes) -> APIRouter:
    """Return the route, which hashes under `key`. Nothing that was sent stands in an answer or a log."""
    api = APIRouter()

    @api.post("/tokens", dependencies=[Depends(Allow(Role.INTEGRATOR))], **ROUTE)
    async def tokens(request: Request, accepted: Sender) -> Response:
        try:
            numbers = _cards.validate_json(await request.body())["card_numbers"]
        except ValidationError as error:
            raise problems.of_types(error) from None  # the cause holds the body
        accepted.cards.take(len(numbers))
        metrics.TOKENS.labels(accepted.principal.name).inc(len(numbers))
        made: list[dict[str, Any]] = []
        for start in range(0, len(numbers), CHUNK):
            made += [token(key, number) for number in numbers[start : start + CHUNK]]
            await asyncio.sleep(0)
        return Response(orjson.dumps({"tokens": made}), media_type="application/json")

    return api


def token(key: bytes, number: object) -> dict[str, Any]:
    """Return the card_id of a card number, or what is wrong, never with the number."""
    if isinstance(number, str) and CARD_NUMBER(number) and luhn(number):
        return {"card_id": keyed_hash(key, number)}
    return REFUSED
