"""The schema registry: registers our schemas, checks changes, and finds a writer's schema by its id."""

import json
import math
import re
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import httpx

from contracts import schemas
from contracts.topics import TOPICS, Topic
from contracts.wire import Writer
from errors import DeniedError, RejectedError, SchemaRefusedError, ServerError, UnreachableError
from settings import settings

TIMEOUT_S = 5.0
REGISTER_S = 30.0
"""What is registered is compiled and compared there, which a registry that has just started takes its time for."""
KEPT_ALIVE_S = 30.0
NOT_FOUND = 404
INCOMPATIBLE = 409
UNPROCESSABLE = 422
DENIED = frozenset({401, 403})
FIELD = re.compile(r"/fields/(\d+)")
CONFLUENT_PATH = "/apis/ccompat"
"""Where Apicurio serves the Confluent-compatible interface; its own is beside it."""
REFUSED_S = 60.0
"""So long an id that no subject has is refused without asking: by then a late registration is seen."""
REFUSED_KEPT = 10_000
LISTED_S = 0.02
"""A list is not asked for again so soon: within it nobody registers a schema, sends a record and has it read here."""
Body = dict[str, Any]


def register_all() -> dict[str, int]:
    """Register each topic's schema and return subject to schema id; each of these subjects is BACKWARD from then on.

    The registry's own setting, which is every other team's too, stays as it is.
    """
    return {topic.subject: register(topic) for topic in TOPICS if topic.schema}


def register(topic: Topic) -> int:
    """Register our schema for `topic` and return its id; SchemaRefusedError if it breaks older records."""
    assert topic.schema, f"{topic.name} has no schema"
    identifier = register_text(topic.subject, schemas.text(topic.schema))
    path = f"/config/{topic.subject}"
    _done(_ask("PUT", path, {"compatibility": "BACKWARD"}), f"set BACKWARD compatibility of {topic.subject}")
    return identifier


def register_text(subject: str, text: str) -> int:
    """Register the schema `text` under `subject` and return its id; SchemaRefusedError if it breaks older records."""
    check(subject, text)
    answer = _ask("POST", f"/subjects/{subject}/versions", _schema(text), REGISTER_S)
    return int(_done(answer, f"register a schema of {subject}")["id"])


def check(subject: str, text: str) -> None:
    """Raise SchemaRefusedError if `text` may not follow `subject`'s newest version, with the registry's reason.

    Of one of our topics it must also be a schema that is decoded here, or its records would all be refused.
    """
    if subject in {topic.subject for topic in TOPICS}:
        try:
            schemas.parse(text)
        except RejectedError as error:
            raise SchemaRefusedError(f"{subject}: this is not a usable Avro schema: {error.reason}") from error
    path = f"/compatibility/subjects/{subject}/versions/latest?verbose=true"
    answer = _ask("POST", path, _schema(text), REGISTER_S)
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


class Subjects:
    """The schemas registered under some topics' subjects, by id; an id of any other subject is refused.

    Known schemas are kept for good. For an unknown id the subjects are listed again, once for any number of such ids
    that come together; that id is then refused for REFUSED_S without another question.
    """

    def __init__(self, subjects: Sequence[str], also: Sequence[str] = ()) -> None:
        """Begin with nothing known; the subjects in `also` need not be there."""
        self._subjects, self._also = (*subjects, *also), frozenset(also)
        self._known: dict[int, schemas.Schema | RejectedError] = {}
        self._versions: set[tuple[str, int]] = set()
        self._refused: dict[int, float] = {}
        self._listed_at = -math.inf

    def __call__(self, identifier: int) -> schemas.Schema:
        """Return the parsed schema of an id; RejectedError, UnreachableError and ServerError as `writers` says."""
        found = self._known.get(identifier)
        if found is None:
            self._look_up(identifier)
            found = self._known.get(identifier)
        if found is None:
            where = " or ".join(self._subjects)
            raise RejectedError("unknown_schema_id", f"schema {identifier} is not registered under {where}")
        if isinstance(found, RejectedError):
            raise RejectedError(found.code, f"schema {identifier}: {found.reason}")
        return found

    def _look_up(self, identifier: int) -> None:
        """List the subjects unless it is known that this id is not theirs."""
        now = time.monotonic()
        if now - self._refused.get(identifier, -math.inf) < REFUSED_S:
            return
        if now - self._listed_at >= LISTED_S:
            for subject in self._subjects:
                self._list(subject)
            self._listed_at = now
        if identifier not in self._known:
            if len(self._refused) >= REFUSED_KEPT:
                self._refused.clear()
            self._refused[identifier] = now

    def _list(self, subject: str) -> None:
        answer = _ask("GET", f"/subjects/{subject}/versions")
        if answer.status_code == NOT_FOUND and subject in self._also:
            return
        if answer.status_code == NOT_FOUND:
            raise ServerError(f"registry: subject {subject} is not there: run `python -m clients register`")
        for version in _done(answer, f"list the schemas of {subject}"):
            if (subject, version) in self._versions:
                continue
            found = _done(_ask("GET", f"/subjects/{subject}/versions/{version}"), f"read {subject} version {version}")
            try:
                self._known.setdefault(int(found["id"]), schemas.parse(found["schema"]))
            except RejectedError as error:
                self._known.setdefault(int(found["id"]), error)
            self._versions.add((subject, version))


def writers(*topics: Topic, also: Sequence[str] = ()) -> Writer:
    """Return a function from schema id to the writer's parsed schema, for records of `topics` (none: any of ours).

    `also` names further subjects, which need not be there: those of a namespace.

    It raises RejectedError: `unknown_schema_id` for an id that is not registered under their subjects, `wrong_schema`
    for one that is and cannot be decoded here; and UnreachableError when the registry does not answer about an id that
    it was not asked for before: then nobody can say whether the record is bad.
    """
    return Subjects([topic.subject for topic in topics or TOPICS if topic.schema], also)


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


def _ask(method: str, path: str, body: Body | None = None, timeout_s: float = TIMEOUT_S) -> httpx.Response:
    return _send(method, settings().registry_url + path, body, timeout_s)


def _send(method: str, url: str, body: Body | None, timeout_s: float = TIMEOUT_S) -> httpx.Response:
    try:
        return _client().request(method, url, json=body, timeout=timeout_s)
    except httpx.HTTPError as error:
        raise UnreachableError(f"registry {url} does not answer: {error}; see `make status`") from error


@cache
def _client() -> httpx.Client:
    """Return the process's one client; a connection that a restarted registry has closed is not used again."""
    limits = httpx.Limits(keepalive_expiry=KEPT_ALIVE_S)
    return httpx.Client(transport=httpx.HTTPTransport(retries=1, limits=limits), timeout=TIMEOUT_S)


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
