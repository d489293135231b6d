"""MLflow: who is champion and its files (light, for every scorer's poll), and a client for those who log runs.

Reading uses MLflow's REST interface by plain HTTP, because the official client costs a scorer six seconds and 150 MB at
start. Writing uses the official client, with its retries bounded: by itself it tries a dead server for four minutes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from errors import DeniedError, ServerError, UnreachableError
from settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

TIMEOUT_S = 10.0
CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
DENIED = frozenset({401, 403})
MISSING = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
PROXIED = "mlflow-artifacts:"


@dataclass(frozen=True)
class Version:
    """One version of a registered model: number, run, tags, the folder of its files on the server, and its time."""

    name: str
    number: int
    run_id: str
    tags: dict[str, str]
    folder: str
    created_at: datetime | None = None


def by_alias(name: str, alias: str) -> Version | None:
    """Return the version that `alias` of the registered model `name` points at; None if there is no such."""
    answer = _get("registered-models/alias", f"the {alias} of {name}", name=name, alias=alias)
    return _version(answer["model_version"]) if answer else None


def by_number(name: str, number: int) -> Version | None:
    """Return version `number` of the registered model `name`; None if there is no such."""
    answer = _get("model-versions/get", f"version {number} of {name}", name=name, version=str(number))
    return _version(answer["model_version"]) if answer else None


def versions() -> Iterator[Version]:
    """Yield every version of every registered model, page by page."""
    token = ""
    while True:
        answer = _get("model-versions/search", "the registered versions", max_results="100", page_token=token)
        yield from map(_version, (answer or {}).get("model_versions", []))
        if not (token := (answer or {}).get("next_page_token", "")):
            return


def download_beside(version: Version, file: str) -> bytes:
    """Return the bytes of a file that its run logged beside the version's folder; ServerError if it is missing."""
    folder = version.folder.rpartition("/")[0]
    return _ask(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{file}", f"{file} of run {version.run_id}").content


def download(version: Version, file: str) -> bytes:
    """Return the bytes of one file of a version; ServerError if it is missing."""
    url = f"/api/2.0/mlflow-artifacts/artifacts/{version.folder}/{file}"
    return _ask(url, f"{file} of {version.name} version {version.number}").content


def writer() -> "MlflowClient":
    """Return the official client, for logging and registering; every call belongs inside `writing`."""
    for name, value in CLIENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings().mlflow_tracking_uri, registry_uri=settings().mlflow_tracking_uri)


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Map what the official client raises while doing `what` to our errors."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        status = getattr(error, "get_http_status_code", int)()
        if status in DENIED:
            raise DeniedError(f"mlflow refused to {what}: {error}") from error
        if isinstance(error, RequestException) or "Max retries exceeded" in str(error):
            raise _unreachable(what, error) from error
        raise ServerError(f"mlflow: cannot {what}: {error}") from error


def _version(found: dict[str, Any]) -> Version:
    name, number = found["name"], found["version"]
    answer = _get("model-versions/get-download-uri", f"the files of {name} version {number}", name=name, version=number)
    uri = answer["artifact_uri"] if answer else ""
    if not uri.startswith(PROXIED):
        raise ServerError(
            f"mlflow: {name} version {number} has its files at {uri!r}, which the tracking server does "
            "not hand out: run it with --serve-artifacts and train again"
        )
    tags = {tag["key"]: tag.get("value", "") for tag in found.get("tags", [])}
    created = datetime.fromtimestamp(int(found.get("creation_timestamp", 0)) / 1e3, UTC)
    return Version(name, int(number), found.get("run_id", ""), tags, httpx.URL(uri).path.strip("/"), created)


def _get(path: str, what: str, **query: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = _ask(f"/api/2.0/mlflow/{path}", what, query).json()
    except LookupError:
        return None
    return answer


def _ask(url: str, what: str, query: dict[str, str] | None = None) -> httpx.Response:
    try:
        answer = _http().get(f"{settings().mlflow_tracking_uri.rstrip('/')}{url}", params=query)
    except httpx.HTTPError as error:
        raise _unreachable(what, error) from error
    if answer.status_code in DENIED:
        raise DeniedError(f"mlflow refused {what}: {answer.status_code}; check the tracking server's users")
    if answer.is_error:
        if query is not None and _code(answer) in MISSING:
            raise LookupError(what)
        raise ServerError(f"mlflow: {what}: {answer.status_code} {answer.text[:300]}")
    return answer


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("error_code"))
    except ValueError:
        return ""


def _unreachable(what: str, error: Exception) -> UnreachableError:
    uri = settings().mlflow_tracking_uri
    return UnreachableError(f"mlflow {uri} does not answer ({what}): {error}; see `make status`")


@cache
def _http() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_S)
