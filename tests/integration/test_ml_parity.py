"""Parity at the size that every merge is judged by; it needs no server."""

from lake.parity import logged
from lake.tables import BRONZE_DECISIONS
from ml.parity.comparison import compare
from tests import parity_lake

PAYMENTS = 53_000
"""Of which some are refunds: 50,000 decisions."""


def test_fifty_thousand_decisions_have_nothing_unexplained(tmp_path):
    """Over all cores: every decision that the online code made is made again, and each difference has its cause."""
    made = parity_lake.make(tmp_path, PAYMENTS, 3_000)
    table = made.tables[BRONZE_DECISIONS]
    outages = logged.outages(table, made.start_us, 2**52)
    found = compare(made.tables, logged.read(table, 0, 2**52), outages)
    assert found.examples == []
    assert found.unexplained == 0
    assert found.compared == found.decisions == made.decisions >= 50_000
    assert sum(count for cause, count in found.causes.items() if "did not answer" in cause) > 0
    assert sum(count for cause, count in found.causes.items() if "made again from 25 hours" in cause) > 0
