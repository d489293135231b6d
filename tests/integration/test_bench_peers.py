"""The loops that the stream is measured beside decide every payment too, and count what they say they count."""

from collections import Counter

import numpy as np
import orjson
import pytest
import redis

from bench import stack
from bench.lake.bronze import namespace
from bench.load import traffic
from bench.peers import batch_stream, plain_stream
from clients import kafka
from contracts.topics import DECISIONS, TRANSACTIONS
from features import NAMES
from scoring import manifest as manifests
from tests import tiny_model
from tests.integration.stream_trial import payments

COUNT = 1_200
FEW = 100


@pytest.fixture(scope="module")
def backlog():
    """Payments on a topic, topics for answers, and an online store that has a vector for each card."""
    paid = payments(COUNT)[:COUNT]
    cards = sorted({payment["card_id"] for payment in paid})
    rows = np.random.default_rng(0).lognormal(2, 1.5, (len(cards), len(NAMES))).astype(np.float32)
    with namespace() as name, namespace() as plain, namespace() as batch, stack.redis_server() as url:
        topic = f"{name}.{TRANSACTIONS.name}"
        traffic.burst(traffic.encode(paid), topic)
        plain_stream.prepare(url, cards, rows)
        batch_stream.prepare(url, cards, rows)
        yield paid, topic, url, f"{plain}.{DECISIONS.name}", f"{batch}.{DECISIONS.name}"


def answered(topic):
    return [orjson.loads(message.value()) for message in kafka.read_all(topic)]


def test_the_batch_loop_answers_each_payment_and_commits(backlog):
    """Each payment has its answer with a probability; each card its count and sum; the group stands at the end."""
    paid, topic, url, _, answers = backlog
    batch_stream.run(topic, answers, url, tiny_model.files()[manifests.ONNX_FILE], COUNT)
    found = answered(answers)
    assert Counter(each["transaction_id"] for each in found) == Counter(each["transaction_id"] for each in paid)
    assert all(0 <= each["score"] <= 1 and each["fraud"] == (each["score"] >= 0.5) for each in found)
    card = paid[0]["card_id"]
    amounts = [payment["amount_minor"] for payment in paid if payment["card_id"] == card]
    with redis.Redis.from_url(url) as client:
        assert client.hgetall(f"spent:{card}") == {b"count": b"%d" % len(amounts), b"sum": b"%d" % sum(amounts)}
    assert kafka.lag(f"{answers}.batch", topic) == 0


def test_the_plain_loop_answers_each_payment(backlog):
    """It is asked for few, and answers those."""
    paid, topic, url, answers, _ = backlog
    plain_stream.run(topic, answers, url, tiny_model.files()[manifests.TEXT_FILE].decode(), FEW)
    found = answered(answers)
    assert len(found) == FEW
    assert {each["transaction_id"] for each in found} <= {each["transaction_id"] for each in paid}
    assert all(0 <= each["score"] <= 1 for each in found)
