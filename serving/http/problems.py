"""Errors as the caller sees them: application/problem+json (RFC 9457), never repeating what was sent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from errors import CARD_LIKE, LakehouseError, RejectedError

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20
MOST_SHOWN = 100
"""Characters of a name that only the caller knows."""
QUOTED = re.compile(r"'[^']*\d(?:[ -]?\d){4,}[^']*'")
CODES = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "json_invalid": "malformed_json",
    "too_long": "out_of_range",
    "too_short": "out_of_range",
}
REASONS = {
    "event_time": "must be RFC 3339 with an offset (2026-11-22T02:15:00Z), or whole microseconds since 1970",
    "amount": 'must be digits, with a point before the decimals: "249.90", or a number',
    "card_number": "must be 12 to 19 digits as text, with single spaces or dashes between them if you like",
}


class FieldError(BaseModel):
    """One thing that is wrong with one field."""

    field: str
    code: str
    reason: str


class Problem(BaseModel):
    """A problem document; `code` is stable, `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] | None = None
    request_id: str | None = None


PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
"""In an OpenAPI description whose components have SCHEMAS."""
SCHEMAS = {
    model.__name__: model.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    for model in (Problem, FieldError)
}
SCHEMAS["Problem"].pop("$defs")


@dataclass
class ProblemError(LakehouseError):
    """Ends a request with this problem."""

    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the problem document without the request id."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        return document | {"errors": list(self.errors)} if self.errors else document

    def body(self, request_id: str | None) -> bytes:
        """Return the bytes to send."""
        return orjson.dumps(self.document() | {"request_id": request_id})


def of_body(code: str, reason: str) -> ProblemError:
    """Return 422 for a body that is wrong as a whole; what of it the reason repeats is made safe to show."""
    reason = _named(reason)
    return ProblemError(422, code, f"body: {reason}", [{"field": "body", "code": code, "reason": reason}])


def _named(text: str) -> str:
    """Return the beginning of a caller's own text: no card number, and nothing that UTF-8 cannot carry."""
    shown = CARD_LIKE.sub("<digits>", text)[:MOST_SHOWN]  # masked before it is cut: the rest of a number is one, too
    return shown.encode(errors="replace").decode() or "(no name)"


def of_types(error: ValidationError) -> ProblemError:
    """Return 422 for a body whose shape or types are wrong; the values themselves are left out."""
    found: list[dict[str, str]] = []
    for each in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_ERRORS]:
        # Our bodies are flat: what follows the name is the branch of a union. An unknown name is the caller's text.
        name = _named(str(each["loc"][0])) if each["loc"] else "body"
        code = CODES.get(each["type"], "wrong_type")
        reason = each["msg"] if code == "missing_field" else REASONS.get(name, each["msg"])
        entry = {"field": name, "code": code, "reason": CARD_LIKE.sub("<digits>", reason)}
        if entry not in found:
            found.append(entry)
    first = found[0]
    return ProblemError(422, first["code"], f"{first['field']}: {first['reason']}", found)


def of_request(error: RequestValidationError) -> ProblemError:
    """Return 422 for a path, query or body whose values are of the wrong shape; the values themselves are left out."""
    found = [
        {
            "field": ".".join(str(part) for part in each["loc"][1:]) or "body",
            "code": CODES.get(each["type"], "wrong_type"),
            "reason": CARD_LIKE.sub("<digits>", str(each["msg"])),
        }
        for each in error.errors()[:MOST_ERRORS]
    ]
    return ProblemError(422, found[0]["code"], f"{found[0]['field']}: {found[0]['reason']}", found)


def of_http(error: HTTPException) -> ProblemError:
    """Return what a router raises as a problem: no such path, no such method, a body that cannot be parsed."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and "GET" in headers.get("Allow", ""):
        headers["Allow"] += ", HEAD"
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's word for a body in no encoding that it knows
        return of_body("malformed_json", "the body is no JSON")
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return ProblemError(error.status_code, code, str(error.detail), headers=headers)


def incomplete() -> ProblemError:
    """Return 408 for a request that ended, or was ended by the deadline, before its body was whole."""
    return ProblemError(408, "incomplete", "the request did not come whole in time", headers={"connection": "close"})


def of_value(error: RejectedError) -> ProblemError:
    """Return 422 for a payment that breaks the contract, with the contract's own code."""
    name = error.reason.split(" ", 1)[0]
    reason = QUOTED.sub("'<digits>'", error.reason)  # the beginning of a card number is too much already
    return ProblemError(422, error.code, reason, [{"field": name, "code": error.code, "reason": reason}])
