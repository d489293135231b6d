"""Decisions that the sink refused, for something is wrong with them: kept as they were, to be tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from confluent_kafka import Message

from clients import postgres
from clients.postgres import Connection
from contracts import wire
from contracts.wire import Writer
from errors import RefusedValueError, RejectedError
from serving.desk.config import AlertsConfig
from serving.desk.sink.keeping import make_days
from serving.desk.sink.row import Row, row
from serving.desk.sink.writing import store

KEEP: LiteralString = """
    INSERT INTO refused_decisions (topic, kafka_partition, kafka_offset, refused_at, code, reason, message)
    VALUES (%s, %s, %s, now(), %s, %s, %s)
    ON CONFLICT (topic, kafka_partition, kafka_offset) DO UPDATE SET code = excluded.code, reason = excluded.reason"""
LIST: LiteralString = """
    SELECT topic, kafka_partition, kafka_offset, refused_at, code, reason, message FROM refused_decisions
    ORDER BY refused_at, topic, kafka_partition, kafka_offset"""
DONE: LiteralString = """
    DELETE FROM refused_decisions WHERE topic = %s AND kafka_partition = %s AND kafka_offset = %s"""
NOT_STORABLE = "not_storable"


@dataclass(frozen=True, slots=True)
class Refused:
    """A decision's message, where it stands on Kafka, and what is wrong with it."""

    topic: str
    partition: int
    offset: int
    code: str
    reason: str
    message: bytes
    at: datetime | None = None


def of(message: Message, error: RejectedError) -> Refused:
    """Return the refusal of a message."""
    place = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
    return Refused(*place, error.code, error.reason, message.value() or b"")


def not_storable(error: RefusedValueError) -> RejectedError:
    """Return what the database's refusal of a row means for its decision."""
    return RejectedError(NOT_STORABLE, str(error))


def read(message: bytes | None, writer: Writer, now_us: int) -> Row:
    """Return the row of a decision's message; RejectedError if something is wrong with it."""
    return row(wire.decode(message, writer, "decision")[1], writer, now_us)


def keep(connection: Connection, found: Sequence[Refused]) -> None:
    """Keep refusals; one that is kept already has the newer reason. Errors are mapped."""
    with postgres.mapped("keeping refused decisions"), connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            KEEP,
            [
                (each.topic, each.partition, each.offset, each.code, each.reason.replace("\0", "\\0"), each.message)
                for each in found
            ],
        )


def kept(connection: Connection) -> list[Refused]:
    """Return every refusal, oldest first. Errors are mapped."""
    with postgres.mapped("reading refused decisions"), connection.transaction():
        found = connection.execute(LIST).fetchall()
    return [
        Refused(
            each["topic"],
            each["kafka_partition"],
            each["kafka_offset"],
            each["code"],
            each["reason"],
            bytes(each["message"]),
            each["refused_at"],
        )
        for each in found
    ]


def again(connection: Connection, refused: Refused, writer: Writer, now_us: int, bounds: AlertsConfig) -> str:
    """Try a refused decision again; return "" if it is kept now, else why it still is not. Errors are mapped."""
    try:
        made = read(refused.message, writer, now_us)
        make_days(connection, [made], bounds)
        store(connection, [made])
    except RejectedError as error:
        return str(error)
    except RefusedValueError as error:
        return str(not_storable(error))
    with postgres.mapped("closing a refusal"), connection.transaction():
        connection.execute(DONE, (refused.topic, refused.partition, refused.offset))
    return ""
