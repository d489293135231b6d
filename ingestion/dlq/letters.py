"""Reads dead letters back from Kafka: which there are, and one of them in full, without showing a card number."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from re import fullmatch
from typing import Any, cast

import orjson
from confluent_kafka import Message

from clients import kafka, registry
from contracts import wire
from contracts.deadletter import Context, Headers, Stage
from contracts.topics import DEAD_LETTERS, TOPICS
from contracts.validation import accept
from errors import CARD_LIKE, InputError, RejectedError

STRANGE = "no_context"
"""Code of a message on the dead-letter topic that is not one of our letters."""
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Letter:
    """One dead letter and where it lies."""

    partition: int
    offset: int
    context: Context
    key: bytes | None
    value: bytes | None

    @property
    def place(self) -> str:
        """Its address for `dlq show`: partition/offset."""
        return f"{self.partition}/{self.offset}"


@dataclass(frozen=True)
class Choice:
    """Which letters: any of these codes (empty: all), written in [since, until) by their own time."""

    codes: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Tell whether the letter is meant."""
        context = letter.context
        return (
            (not self.codes or context.code in self.codes)
            and (self.since_ms is None or context.time_ms >= self.since_ms)
            and (self.until_ms is None or context.time_ms < self.until_ms)
        )


def find(choice: Choice) -> Iterator[Letter]:
    """Yield the letters that are there now and meant by `choice`."""
    for message in kafka.read_all(DEAD_LETTERS.name):
        letter = _letter(message)
        if choice.takes(letter):
            yield letter


def one(place: str) -> Letter:
    """Return the letter at `partition/offset`; InputError if there is none."""
    if not fullmatch(r"\d+/\d+", place):
        raise InputError(f"{place!r}: give partition/offset, as `dlq list --each 20` shows them")
    partition, offset = (int(part) for part in place.split("/"))
    message = kafka.read_one(DEAD_LETTERS.name, partition, offset)
    if message is None:
        raise InputError(f"{DEAD_LETTERS.name} has no message at {place}; `dlq list --each 20` shows what is there")
    return _letter(message)


def decoded(letter: Letter) -> tuple[dict[str, Any] | None, str]:
    """Return the record in the letter as far as it can be read, and what the checks say of it today."""
    schemas = {topic.name: topic.schema for topic in TOPICS}
    name = schemas.get(letter.context.source_topic or "") or "transaction"
    record: dict[str, Any] | None = None
    try:
        record = accept(record_of(letter, name), name, int(datetime.now(UTC).timestamp() * 1e6))
    except RejectedError as error:
        return record, str(error)
    return record, "passes every check today: `dlq replay` would send it"


def record_of(letter: Letter, name: str) -> dict[str, Any]:
    """Return the record of our schema `name` in the letter; RejectedError if its bytes are none."""
    if letter.context.stage is not Stage.PRODUCER:
        return wire.decode(letter.value, registry.writers(), name)[1]
    try:
        found = orjson.loads(letter.value or b"")
    except orjson.JSONDecodeError as error:
        raise RejectedError("undecodable", f"a producer's letter holds JSON, this one does not: {error}") from error
    if not isinstance(found, dict):
        raise RejectedError("wrong_schema", "a producer's letter holds one JSON object")
    return found


def masked(value: object) -> str:
    """Return text for a person in which no text can be a card number; numbers stand as they are."""
    text = str(value)
    return text if isinstance(value, int) or fullmatch("[0-9a-f]{64}", text) else CARD_LIKE.sub("<digits>", text)


def hexdump(value: bytes, width: int = 16) -> Iterator[str]:
    """Yield lines of offset, bytes in hex and as text; digits that could be a card number are blotted out in both."""
    safe = CARD_LIKE.sub(lambda found: "\0" * len(found[0]), value.decode("latin-1")).encode("latin-1")
    blot = [kept != byte for kept, byte in zip(safe, value, strict=True)]
    for start in range(0, len(value), width):
        row = range(start, min(start + width, len(value)))
        codes = " ".join("**" if blot[i] else f"{value[i]:02x}" for i in row)
        text = "".join("*" if blot[i] else chr(value[i]) if 32 <= value[i] < 127 else "." for i in row)
        yield f"{start:06x}  {codes:<{width * 3}} {text}"


def moment(text: str | None, now: datetime | None = None) -> int | None:
    """Return milliseconds of an ISO 8601 time, or of `90m`, `2h`, `1d` ago; None stays None."""
    if text is None:
        return None
    now = now or datetime.now(UTC)
    if ago := fullmatch(r"(\d+)([mhd])", text):
        return int((now - timedelta(**{UNITS[ago[2]]: int(ago[1])})).timestamp() * 1_000)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r}: give a time such as 2026-05-01T12:00 (UTC), or 90m, 2h, 1d for so long ago"
        ) from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000)


def _letter(message: Message) -> Letter:
    headers = cast("Headers", message.headers() or [])
    try:
        context = Context.read(headers)
    except (KeyError, ValueError):
        context = Context(Stage.BRONZE, STRANGE, "no readable headers of ours", message.timestamp()[1])
    return Letter(*kafka.place(message), context, message.key(), message.value())
