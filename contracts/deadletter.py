"""A dead letter: the record's key and bytes untouched, and in its headers why, where it came from and when."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

Headers = list[tuple[str, bytes]]


class Stage(StrEnum):
    """Who rejected the record."""

    PRODUCER = "producer"
    BRONZE = "bronze"


@dataclass(frozen=True)
class Context:
    """What a letter's headers say. Producer's letters have file and row in place of topic, partition and offset."""

    stage: Stage
    code: str
    reason: str
    time_ms: int
    source_topic: str | None = None
    source_partition: int | None = None
    source_offset: int | None = None
    schema_id: int | None = None
    file: str | None = None
    row: int | None = None

    def headers(self) -> Headers:
        """Return Kafka headers: text values, absent ones left out."""
        return [(name, str(value).encode()) for name, value in vars(self).items() if value is not None]

    @classmethod
    def read(cls, headers: Headers) -> Self:
        """Read the headers of a letter back; unknown headers are ignored."""
        found = {name: value.decode("utf-8", "replace") for name, value in headers if value is not None}
        whole = {name: int(found[name]) for name in NUMBERS if name in found}
        text = {name: found[name] for name in ("source_topic", "file") if name in found}
        return cls(Stage(found["stage"]), found["code"], found["reason"], **text, **whole)  # type: ignore[arg-type]


NUMBERS = ("time_ms", "source_partition", "source_offset", "schema_id", "row")
ORIGIN_HEADER = "dlq-origin"
"""Header of a replayed letter: `topic/partition/offset` of the letter it was sent again from."""
