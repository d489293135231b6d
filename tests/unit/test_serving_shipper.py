"""The shipper comes through a broker that is slow, refuses, or has no room: in order, and every receipt once."""

from concurrent.futures import Future

import pytest

from serving.outbox import shipper as shippers
from serving.outbox.shipper import Shipper, Standing
from serving.outbox.spool import Entry, Spool


class Acknowledged:
    """A message as its delivery report shows it."""

    def __init__(self, offset):
        """Stand at an offset."""
        self.offset, self.partition = (lambda: offset), (lambda: 0)


class SlowBroker:
    """A producer whose broker acknowledges a few records between two purges."""

    def __init__(self, each):
        """Acknowledge `each` records, then none until those that wait are purged."""
        self.log, self._each, self._left, self._waiting = [], each, each, []

    def produce(self, topic, value, key, headers, on_delivery):
        """Take a record, or have no room for it."""
        if len(self._waiting) == 4:
            raise BufferError("no room")
        self._waiting.append((value, on_delivery))

    def poll(self, timeout):
        """Acknowledge what may still be."""
        while self._waiting and self._left:
            value, delivered = self._waiting.pop(0)
            self._left -= 1
            self.log.append(value)
            delivered(None, Acknowledged(len(self.log) - 1))

    def purge(self):
        """Give up what waits."""
        self._waiting, self._left = [], self._each

    def flush(self, timeout):
        """Nothing waits after a purge."""


@pytest.mark.parametrize("each", [1, 3])
def test_a_broker_that_never_takes_a_whole_batch_gets_all_of_it(tmp_path, monkeypatch, each):
    """What it acknowledged in order is not sent again, so the rest comes nearer with each try."""
    broker = SlowBroker(each)
    monkeypatch.setattr(shippers.kafka, "producer", lambda **options: broker)
    monkeypatch.setattr(shippers, "PATIENCE_S", 0.0)
    monkeypatch.setattr(shippers, "PAUSE_S", 0.0)
    spool = Spool(tmp_path)
    shipper = Shipper(spool, ["decisions"])
    values = [b"%d" % number for number in range(10)]
    receipts = [Future() for _ in values]
    for value, receipt in zip(values, receipts, strict=True):
        shipper.append([Entry(0, b"key", value)], receipt)
    shipper.start()
    standing = [receipt.result(30) for receipt in receipts]
    shipper.close()

    assert broker.log == values
    assert standing == [Standing(0, offset) for offset in range(10)]
    left = Spool(tmp_path)
    assert left.read(left.sent, 1) == []
    left.close()
