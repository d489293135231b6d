"""Who is signed in: a cookie signed with a secret of its own, good until sign-out or until its key is revoked or over.

The cookie says which key let somebody in; name, role and sources are the key's, looked up at each request. A session
that was signed out is an empty file in LAKEHOUSE_HOME/sessions for as long as its cookie could be shown again: every
process of this LAKEHOUSE_HOME sees it at once.
"""

import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from itsdangerous import BadSignature, Signer, URLSafeTimedSerializer

from errors import LakehouseError, SettingsError
from serving.principals.in_force import KeysInForce
from serving.principals.principal import Principal, Role
from settings import settings

COOKIE = "console_session"
LASTS_S = 12 * 3_600
PATH = "/console"
SHORTEST = 32
SAME = frozenset({None, "same-origin", "none"})
"""What browsers say of a request that began on our own page or was typed in; older ones say nothing."""
SIGNED_BY: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


class SignedOutError(LakehouseError):
    """Nobody is signed in, or the session is over."""


class ForgedError(LakehouseError):
    """A form was sent that this console did not give to this session."""


@dataclass(frozen=True)
class Session:
    """Who is signed in, the session's own id, and the token of its forms."""

    principal: Principal
    ident: str
    token: str

    @property
    def name(self) -> str:
        """The principal's name."""
        return self.principal.name


class Sessions:
    """The sessions of the console."""

    def __init__(self, keys: KeysInForce, folder: Path) -> None:
        """Let in whom `keys` let in; `folder` has what was signed out. SettingsError without SESSION_SECRET."""
        secret = settings().session_secret.get_secret_value()
        if len(secret) < SHORTEST:
            raise SettingsError(
                f"SESSION_SECRET must have at least {SHORTEST} characters, and be no other secret; `make up` makes one"
            )
        self._keys, self._folder = keys, folder
        self._cookies = URLSafeTimedSerializer(secret, salt="console session", signer_kwargs=SIGNED_BY)
        self._forms = Signer(secret, salt="console form", **SIGNED_BY)

    def begin(self, request: Request, response: Response, principal: Principal) -> None:
        """Sign in: put the cookie on `response`."""
        response.set_cookie(
            COOKIE,
            str(self._cookies.dumps([secrets.token_hex(16), principal.key])),
            max_age=LASTS_S,
            path=PATH,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https" or settings().lakehouse_env != "local",
        )

    def end(self, response: Response, session: Session) -> None:
        """Sign out: the session opens nothing any more, wherever its cookie is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / session.ident).touch(mode=0o600)
        for each in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process sweeps too
                if time.time() - each.stat().st_mtime > LASTS_S:
                    each.unlink()
        response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")

    def current(self, request: Request) -> Session:
        """Return the session of a request; SignedOutError if it has none, or it is over."""
        try:
            ident, key = self._cookies.loads(request.cookies.get(COOKIE, ""), max_age=LASTS_S)
        except BadSignature:
            raise SignedOutError("nobody is signed in") from None
        accepted = self._keys.find(key)
        if accepted is None or accepted.principal.role is not Role.INVESTIGATOR or (self._folder / ident).exists():
            raise SignedOutError("the session is over")
        return Session(accepted.principal, ident, self._forms.get_signature(ident).decode())

    def lives(self, session: Session) -> bool:
        """Return whether a session is still good, as its open streams ask."""
        return self._keys.find(session.principal.key) is not None and not (self._folder / session.ident).exists()


def check_form(request: Request, session: Session, token: object) -> None:
    """Raise ForgedError unless the form is one of this session's, sent from our own page."""
    check_origin(request)
    if not isinstance(token, str) or not hmac.compare_digest(token.encode(), session.token.encode()):
        raise ForgedError("the form is older than this session, or not from this console; open the page again")


def check_origin(request: Request) -> None:
    """Raise ForgedError if the browser says that another site sent this."""
    if request.headers.get("sec-fetch-site") not in SAME:
        raise ForgedError("another site sent this form")
