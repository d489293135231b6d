"""The schema registry: registers our schemas, checks changes, and finds a writer's schema by its id."""

import json
import re
from typing import Any

import httpx
from fastavro.schema import SchemaParseException, UnknownType

from contracts import schemas
from contracts.topics import TOPICS, Topic
from contracts.wire import Writer
from errors import DeniedError, RejectedError, SchemaRefusedError, ServerError, UnreachableError
from settings import settings

TIMEOUT_S = 5.0
NOT_FOUND = 404
INCOMPATIBLE = 409
UNPROCESSABLE = 422
NOT_THERE = frozenset({400, NOT_FOUND, UNPROCESSABLE})
"""What the registry says of a schema id that it does not have, or that cannot be one."""
DENIED = frozenset({401, 403})
FIELD = re.compile(r"/fields/(\d+)")
CONFLUENT_PATH = "/apis/ccompat"
"""Where Apicurio serves the Confluent-compatible interface; its own is beside it."""
Body = dict[str, Any]


def register_all() -> dict[str, int]:
    """Set BACKWARD compatibility, register each topic's schema and return subject to schema id."""
    _done(_ask("PUT", "/config", {"compatibility": "BACKWARD"}), "set BACKWARD compatibility")
    return {topic.subject: register(topic) for topic in TOPICS if topic.schema}


def register(topic: Topic) -> int:
    """Register our schema for `topic` and return its id; SchemaRefusedError if it breaks older records."""
    assert topic.schema, f"{topic.name} has no schema"
    return register_text(topic.subject, schemas.text(topic.schema))


def register_text(subject: str, text: str) -> int:
    """Register the schema `text` under `subject` and return its id; SchemaRefusedError if it breaks older records."""
    check(subject, text)
    answer = _ask("POST", f"/subjects/{subject}/versions", _schema(text))
    return int(_done(answer, f"register a schema of {subject}")["id"])


def check(subject: str, text: str) -> None:
    """Raise SchemaRefusedError with the registry's reason if `text` is incompatible with `subject`'s newest version."""
    path = f"/compatibility/subjects/{subject}/versions/latest?verbose=true"
    answer = _ask("POST", path, _schema(text))
    if answer.status_code == NOT_FOUND:
        return
    found = _done(answer, f"check a schema of {subject}")
    if not found["is_compatible"]:
        reasons = "; ".join(found.get("messages") or []) or _reason(subject, text)
        raise SchemaRefusedError(
            f"{subject}: not BACKWARD compatible, records already on Kafka would become unreadable: {reasons}"
        )


def schema_id(topic: Topic) -> int:
    """Return the id under which our own schema of `topic` is registered."""
    assert topic.schema, f"{topic.name} has no schema"
    answer = _ask("POST", f"/subjects/{topic.subject}", _schema(schemas.text(topic.schema)))
    if answer.status_code == NOT_FOUND:
        raise ServerError(f"registry: our schema of {topic.subject} is not there: run `python -m clients register`")
    return int(_done(answer, f"look up {topic.subject}")["id"])


def writers() -> Writer:
    """Return a function from schema id to the writer's parsed schema; what it found it remembers.

    The function raises RejectedError(`unknown_schema_id`) for an id that the registry does not have, and
    UnreachableError when the registry does not answer: then nobody can say whether the record is bad.
    """
    known: dict[int, schemas.Schema] = {}

    def writer(identifier: int) -> schemas.Schema:
        if identifier not in known:
            answer = _ask("GET", f"/schemas/ids/{identifier}")
            if answer.status_code in NOT_THERE:
                raise RejectedError("unknown_schema_id", f"the registry has no schema {identifier}")
            known[identifier] = schemas.parse(_done(answer, f"read schema {identifier}")["schema"])
        return known[identifier]

    return writer


def judged(writer: Writer) -> Writer:
    """Return `writer` with its refusals remembered, as long as one batch takes, and one for what is not Avro."""
    refused: dict[int, RejectedError] = {}

    def judge(schema_id: int) -> schemas.Schema:
        if schema_id in refused:
            raise refused[schema_id]
        try:
            return writer(schema_id)
        except RejectedError as error:
            refused[schema_id] = error
            raise
        except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"schema {schema_id} is no Avro schema that stands alone: {type(error).__name__}"
            refused[schema_id] = RejectedError("wrong_schema", reason)
            raise refused[schema_id] from error

    return judge


def _reason(subject: str, text: str) -> str:
    """Ask Apicurio's own interface by a dry run: its Confluent-compatible one says no, but not why."""
    base, path, _ = settings().registry_url.partition(CONFLUENT_PATH)
    if not path:
        return "the registry gives no reason"
    url = f"{base}/apis/registry/v3/groups/default/artifacts/{subject}/versions?dryRun=true"
    answer = _send("POST", url, {"content": {"content": text, "contentType": "application/json"}})
    causes = answer.json().get("causes") or [] if answer.is_error else []
    fields = json.loads(text).get("fields", [])

    def where(context: str) -> str:
        number = FIELD.match(context)
        return f"field {fields[int(number[1])]['name']}" if number and int(number[1]) < len(fields) else context

    return "; ".join(f"{where(cause['context'])}: {cause['description']}" for cause in causes) or answer.text[:300]


def _schema(text: str) -> Body:
    return {"schema": text, "schemaType": "AVRO"}


def _ask(method: str, path: str, body: Body | None = None) -> httpx.Response:
    return _send(method, settings().registry_url + path, body)


def _send(method: str, url: str, body: Body | None) -> httpx.Response:
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=1), timeout=TIMEOUT_S) as client:
            return client.request(method, url, json=body)
    except httpx.HTTPError as error:
        raise UnreachableError(f"registry {url} does not answer: {error}; see `make status`") from error


def _done(answer: httpx.Response, what: str) -> Any:
    if answer.is_success:
        return answer.json()
    said = answer.text[:500]
    if answer.status_code in DENIED:
        raise DeniedError(f"registry: {what}: {answer.status_code} {said}; see the credentials of REGISTRY_URL")
    if answer.status_code == INCOMPATIBLE:
        raise SchemaRefusedError(f"registry: {what}: {said}")
    if answer.status_code == UNPROCESSABLE:
        raise SchemaRefusedError(f"registry: {what}: this is not a usable Avro schema: {said}")
    raise ServerError(f"registry: {what}: {answer.status_code} {said}")
