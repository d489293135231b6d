"""Who is signed in: a signed cookie, so that any scorer knows it and none keeps it; and the token of its forms."""

import base64
import hashlib
import hmac
import time
from collections.abc import Container
from dataclasses import dataclass

import orjson
from fastapi import Request, Response

from contracts.identity import hash_key
from errors import LakehouseError
from settings import settings

COOKIE = "console_session"
LASTS_S = 12 * 3_600
PATH = "/console"
SAME = frozenset({None, "same-origin", "none"})
"""What browsers say of a request that began on our own page or was typed in; older ones say nothing."""


class SignedOutError(LakehouseError):
    """Nobody is signed in, or the session is over."""


class ForgedError(LakehouseError):
    """A form was sent that this console did not give to this session."""


@dataclass(frozen=True)
class Session:
    """An investigator's name, the SHA-256 of the API key that let them in, and the token of their forms."""

    name: str
    key: str
    token: str


def begin(response: Response, name: str, digest: str) -> None:
    """Sign in: put the cookie on `response`."""
    content = base64.urlsafe_b64encode(orjson.dumps([name, digest, int(time.time()) + LASTS_S])).decode()
    response.set_cookie(
        COOKIE,
        f"{content}.{_sign(content)}",
        max_age=LASTS_S,
        path=PATH,
        httponly=True,
        samesite="strict",
        secure=settings().lakehouse_env != "local",
    )


def end(response: Response) -> None:
    """Sign out."""
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")


def current(request: Request, keys: Container[str]) -> Session:
    """Return the session of a request; SignedOutError if it has none, it is over, or its key is accepted no more."""
    content, _, signature = request.cookies.get(COOKIE, "").partition(".")
    if not hmac.compare_digest(signature.encode(), _sign(content).encode()):
        raise SignedOutError("nobody is signed in")
    name, digest, until = orjson.loads(base64.urlsafe_b64decode(content))
    if until < time.time() or digest not in keys:
        raise SignedOutError("the session is over")
    return Session(name, digest, _sign(f"form {content}"))


def check_form(request: Request, session: Session, token: object) -> None:
    """Raise ForgedError unless the form is one of this session's, sent from our own page."""
    check_origin(request)
    if not isinstance(token, str) or not hmac.compare_digest(token.encode(), session.token.encode()):
        raise ForgedError("the form is older than this session, or not from this console; open the page again")


def check_origin(request: Request) -> None:
    """Raise ForgedError if the browser says that another site sent this."""
    if request.headers.get("sec-fetch-site") not in SAME:
        raise ForgedError("another site sent this form")


def digest(key: str) -> str:
    """Return the SHA-256 by which API keys are known."""
    return hashlib.sha256(key.encode()).hexdigest()


def _sign(text: str) -> str:
    secret = hmac.digest(hash_key(settings().card_hash_key.get_secret_value()), b"console sessions", hashlib.sha256)
    return hmac.digest(secret, text.encode(), hashlib.sha256).hex()
