"""The schema registry: registers our schemas, checks changes, and finds a writer's schema by its id."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import httpx
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from contracts import schemas
from contracts.topics import TOPICS, Topic
from errors import DeniedError, RejectedError, SchemaRefusedError, ServerError, UnreachableError
from settings import settings

T = TypeVar("T")
TIMEOUT_S = 5
NOT_FOUND = 404
INCOMPATIBLE = 409
DENIED = frozenset({401, 403})


@cache
def connect() -> SchemaRegistryClient:
    """Return the client of the registry in the settings; nothing is asked yet."""
    return SchemaRegistryClient({"url": settings().registry_url, "timeout": TIMEOUT_S, "max.retries": 1})


def register_all() -> dict[str, int]:
    """Set BACKWARD compatibility, register each topic's schema and return subject to schema id."""
    _ask("set BACKWARD compatibility", lambda: connect().set_compatibility(level="BACKWARD"))
    return {topic.subject: register(topic) for topic in TOPICS if topic.schema}


def register(topic: Topic) -> int:
    """Register our schema for `topic` and return its id; SchemaRefusedError if it breaks older records."""
    assert topic.schema, f"{topic.name} has no schema"
    return register_text(topic.subject, schemas.text(topic.schema))


def register_text(subject: str, text: str) -> int:
    """Register the schema `text` under `subject` and return its id; SchemaRefusedError if it breaks older records."""
    check(subject, text)
    what = f"register the schema of {subject}"
    return int(_ask(what, lambda: connect().register_schema(subject, Schema(text, "AVRO"))))


def check(subject: str, text: str) -> None:
    """Raise SchemaRefusedError with the registry's reason if `text` is incompatible with `subject`'s versions."""
    url = f"{settings().registry_url}/compatibility/subjects/{subject}/versions/latest?verbose=true"
    body = {"schema": text, "schemaType": "AVRO"}
    try:
        answer = httpx.post(url, json=body, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise UnreachableError(f"registry {settings().registry_url}: checking {subject}: {error}") from error
    if answer.status_code == NOT_FOUND:
        return
    if answer.is_error:
        raise ServerError(f"registry: checking {subject}: {answer.status_code} {answer.text[:500]}")
    if not answer.json()["is_compatible"]:
        reasons = "; ".join(answer.json().get("messages") or ["no reason given"])
        raise SchemaRefusedError(f"{subject}: not BACKWARD compatible, so records already on Kafka would become "
                                 f"unreadable: {reasons}")  # fmt: skip


def schema_id(topic: Topic) -> int:
    """Return the id under which our own schema of `topic` is registered."""
    assert topic.schema, f"{topic.name} has no schema"
    schema = Schema(schemas.text(topic.schema), "AVRO")
    found = _ask(f"look up {topic.subject}", lambda: connect().lookup_schema(topic.subject, schema))
    assert found.schema_id is not None, f"the registry answered without an id: {found}"
    return found.schema_id


def writers() -> Callable[[int], schemas.Schema]:
    """Return a function from schema id to the writer's parsed schema; what it found it remembers.

    The function raises RejectedError(`unknown_schema_id`) for an id that the registry does not have, and
    UnreachableError when the registry does not answer: then nobody can say whether the record is bad.
    """
    known: dict[int, schemas.Schema] = {}

    def writer(identifier: int) -> schemas.Schema:
        if identifier not in known:
            try:
                found = _ask(f"schema {identifier}", lambda: connect().get_schema(identifier))
            except LookupError as error:
                raise RejectedError("unknown_schema_id", f"the registry has no schema {identifier}") from error
            known[identifier] = schemas.parse(found.schema_str or "")
        return known[identifier]

    return writer


def _ask(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except SchemaRegistryError as error:
        if error.http_status_code == NOT_FOUND:
            raise LookupError(str(error)) from error
        if error.http_status_code == INCOMPATIBLE:
            raise SchemaRefusedError(f"registry: {what}: {error.error_message}") from error
        if error.http_status_code in DENIED:
            raise DeniedError(f"registry: {what}: {error.error_message}") from error
        raise ServerError(f"registry: {what}: {error}") from error
    except (httpx.HTTPError, OSError) as error:
        url = settings().registry_url
        raise UnreachableError(f"registry {url} does not answer ({what}): {error}; see `make status`") from error
