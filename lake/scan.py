"""Look for card numbers everywhere the platform keeps data: object storage, Kafka, Redis, PostgreSQL and logs.

Every Parquet column, Kafka key, value (decoded by its writer's schema) and header, Redis key and value, text of the
alerts in PostgreSQL and log line is read as text. A card number is a run of 12 to 19 digits (or four groups of four)
that begins like an issuer's number (ISO/IEC 7812) and passes Luhn's check; numbers known beforehand are found whatever
they look like.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clients import kafka, postgres, redis, registry, s3
from contracts import wire
from contracts.identity import luhn
from contracts.topics import TOPICS
from errors import RejectedError

UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DIGITS = re.compile(r"(?<![\w.])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4})(?![\w]|\.\d)")
ISSUER = re.compile(r"4|5[0-8]|6|3[04-9]|2[2-7]")
PARQUET = b"PAR1"
REPORT = 20
"""Findings that the command shows; it counts them all."""

Texts = Iterator[tuple[str, str]]
"""Pairs of (where, text)."""


@dataclass
class Findings:
    """How many texts of each kind of place were read, and where a card number stood (never the number)."""

    read: dict[str, int]
    found: list[str]


def scan(places: dict[str, Callable[[], Texts]], known: frozenset[str] = frozenset()) -> Findings:
    """Read every text of every place; `known` are card numbers to find in any case, digits only."""
    findings = Findings({}, [])
    for place, texts in places.items():
        findings.read[place] = 0
        for where, text in texts():
            findings.read[place] += 1
            if has_card_number(text, known):
                findings.found.append(f"{place}: {where}")
    return findings


def has_card_number(text: str, known: frozenset[str] = frozenset()) -> bool:
    """Tell whether `text` holds a card number."""
    for match in DIGITS.finditer(UUID.sub("", text)):
        digits = re.sub(r"\D", "", match[0])
        if digits in known or (ISSUER.match(digits) and luhn(digits)):
            return True
    return False


def everywhere(home: Path) -> dict[str, Callable[[], Texts]]:
    """Return the places of the stack whose state is in `home`."""
    return {
        "storage": storage,
        "kafka": topics,
        "redis": online,
        "postgres": history,
        "logs": lambda: logs(home / "logs"),
    }


def storage() -> Texts:
    """Yield the name and the content of each object of the lake; Parquet by column, everything else as text."""
    for key, body in s3.objects():
        yield key, key
        if body.startswith(PARQUET):  # Trino's data files have no ending
            table = pq.read_table(io.BytesIO(body))
            for name in table.column_names:
                yield from ((f"{key} column {name}", text) for text in _strings(table.column(name)))
        else:
            yield key, body.decode("utf-8", "replace")


def topics() -> Texts:
    """Yield key, value and headers of every message; values both as bytes and decoded by their writer's schema."""
    writer = registry.writers()
    for topic in TOPICS:
        for message in kafka.read_all(topic.name):
            where = f"{topic.name}[{message.partition()}]@{message.offset()}"
            yield f"{where} key", (message.key() or b"").decode("utf-8", "replace")
            yield f"{where} value", (message.value() or b"").decode("utf-8", "replace")
            for name, value in cast("list[tuple[str, bytes | None]]", message.headers() or []):
                yield f"{where} header {name}", (value or b"").decode("utf-8", "replace")
            try:
                _, record = wire.decode(message.value(), writer, topic.schema or "transaction")
            except RejectedError:
                continue  # not Avro: its bytes were read above
            # A letter of another schema's record has its fields there.
            extra = record.pop("extra", {})
            for name, value in (record | extra).items():
                yield f"{where} field {name}", _text(value)


def online() -> Texts:
    """Yield each Redis key and its value, whatever its type."""
    for key, value in redis.everything():
        yield key, key
        yield key, value


def history() -> Texts:
    """Yield every text of the alerts' history: what came with a payment, and what investigators wrote."""
    yield from postgres.everything()


def logs(folder: Path) -> Texts:
    """Yield every line of every file of a folder of logs."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open(errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                yield f"{path.name}:{number}", line


def _strings(column: pa.ChunkedArray) -> list[str]:
    """Return the distinct values of a column as text; numbers too, for a card number may have been taken for one."""
    if pa.types.is_nested(column.type):
        return [json.dumps(value, default=_text) for value in column.to_pylist()]
    if pa.types.is_floating(column.type):
        whole: Any = pc.equal(column, pc.floor(column))
        column = pc.cast(column.filter(pc.and_(whole, pc.less(pc.abs(column), 2.0**63))), pa.int64(), safe=False)
    if pa.types.is_temporal(column.type) or pa.types.is_boolean(column.type):
        return []
    return [_text(value) for value in pc.unique(column).to_pylist() if value is not None]


def _text(value: object) -> str:
    """Return a value as text, byte by byte where it is binary: a decision holds its payment's bytes.

    Not as Latin-1: that makes letters of half the bytes, and digits that touch a letter are no card number.
    """
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
