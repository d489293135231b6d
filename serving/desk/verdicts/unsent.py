"""Sends the labels of dispositions that Kafka has not acknowledged: it was away, or the desk was killed between.

Beside the sink, in a thread and with a connection of its own: labels that cannot be sent hold up no alert.
"""

import logging
import threading

from clients import postgres
from clients.postgres import Connection
from contracts.topics import LABELS
from errors import LakehouseError
from serving.desk.verdicts import labels
from serving.desk.verdicts.sender import Sender

log = logging.getLogger(__name__)
OLD = "30 seconds"
"""A younger one is still in the hands of the request that made it."""
EVERY_S = 10.0


class Resender:
    """Looks for labels that wait every ten seconds, until it is stopped; `trouble` is why they could not be sent."""

    def __init__(self, prefix: str = "") -> None:
        """Open nothing yet; `prefix` stands before the topic's name."""
        self.trouble = ""
        self._sender = Sender(prefix)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way gets a moment."""
        self._stopped.set()
        self._sender.close()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            try:
                with postgres.connect() as connection:
                    sent = send(connection, self._sender)
            except LakehouseError as error:
                if not self.trouble:
                    log.warning("labels wait: %s", error)
                self.trouble = str(error)
                continue
            self.trouble = ""
            if sent:
                log.info("%s dispositions whose labels Kafka had not acknowledged are sent", sent)


def send(connection: Connection, sender: Sender) -> int:
    """Send them, oldest first, mark them as sent and return how many there were; ServerError: the rest waits on."""
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
