"""Sends the labels of dispositions that Kafka has not acknowledged: it was away, or the scorer was killed between."""

from clients import postgres
from clients.postgres import Connection
from contracts.topics import LABELS
from serving.desk.verdicts import labels
from serving.outbox.sender import Sender

OLD = "30 seconds"
"""A younger one is still in the hands of the request that made it."""


def send(connection: Connection, sender: Sender) -> int:
    """Send them, oldest first, mark them as sent and return how many there were; UnreachableError: Kafka is away."""
    with postgres.mapped("looking for labels that were not sent"), connection.transaction():
        found = connection.execute(
            "SELECT * FROM dispositions WHERE sent_at IS NULL AND known_at < now() - %s::interval ORDER BY known_at",
            (OLD,),
        ).fetchall()
    for disposition in found:
        receipts = [sender.submit(LABELS, labels.key(label), label) for label in labels.of(disposition)]
        for receipt in receipts:
            receipt.result()
        with postgres.mapped("marking labels as sent"), connection.transaction():
            connection.execute(
                "UPDATE dispositions SET sent_at = now() WHERE disposition_id = %s", (disposition["disposition_id"],)
            )
    return len(found)
