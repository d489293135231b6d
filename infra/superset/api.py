"""Superset's REST interface as its administrator: signed in once, its errors mapped once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from errors import DeniedError, ServerError, UnreachableError

PAGE = 100
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Api:
    """An open session; paths are those below /api/v1."""

    client: httpx.Client

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer to a GET as JSON; ServerError with Superset's words when it refuses."""
        return self._ask("GET", path, params=query).json()

    def post(self, path: str, body: Any) -> Any:
        """Return the answer to a POST of JSON."""
        return self._ask("POST", path, json=body).json()

    def put(self, path: str, body: Any) -> Any:
        """Return the answer to a PUT of JSON."""
        return self._ask("PUT", path, json=body).json()

    def upload(self, path: str, field: str, content: bytes) -> None:
        """POST a zip file as a form."""
        self._ask("POST", path, files={field: (f"{field}.zip", content, "application/zip")})

    def download(self, path: str) -> bytes:
        """Return the bytes of the answer to a GET."""
        return self._ask("GET", path).content

    def each(self, path: str, order: str = "") -> Iterator[dict[str, Any]]:
        """Yield every item of a list, page by page; of more than a page only by an `order`: else pages may overlap."""
        ordered = f"order_column:{order},order_direction:asc," if order else ""
        for page in range(1_000):
            found = self.get(path, q=f"({ordered}page:{page},page_size:{PAGE})")["result"]
            yield from found
            if len(found) < PAGE:
                return

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        what = f"{method} {path}"
        try:
            answer = self.client.request(method, f"/api/v1/{path}", **more)
        except httpx.HTTPError as error:
            raise _unreachable(self.client, what, error) from error
        if answer.is_error:
            raise ServerError(f"superset: {what}: {answer.status_code} {answer.text[:1500]}")
        return answer


@contextmanager
def signed_in(url: str, password: str, user: str = "admin") -> Iterator[Api]:
    """Yield a session of `user`; DeniedError when the password is wrong, UnreachableError when nobody answers."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, headers={"Referer": url}) as client:
        credentials = {"username": user, "password": password, "provider": "db", "refresh": False}
        try:
            answer = client.post("/api/v1/security/login", json=credentials)
        except httpx.HTTPError as error:
            raise _unreachable(client, "signing in", error) from error
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise DeniedError(f"superset {url} refused the password of {user}; is it that of this stack's stack.env?")
        if answer.is_error:
            raise ServerError(f"superset: signing in as {user}: {answer.status_code} {answer.text[:300]}")
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        opened = Api(client)
        # A change needs this, and the cookie that comes with it.
        client.headers["X-CSRFToken"] = opened.get("security/csrf_token/")["result"]
        yield opened


def _unreachable(client: httpx.Client, what: str, error: Exception) -> UnreachableError:
    return UnreachableError(f"superset {client.base_url} does not answer ({what}): {error}; see `make status`")
