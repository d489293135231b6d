"""The scorer over HTTP, with a real Redis: decisions, repeats, refusals, limits, and what its pages say."""

import concurrent.futures
import datetime as dt
import json
import shutil
import subprocess

import httpx
import numpy as np
import pytest

import features
from contracts.identity import keyed_hash
from serving.api import openapi
from serving.api.answer import Answer, BatchAnswer
from serving.online.packing import Kind, Meta, pack
from serving.online.windows import PROGRESS_KEYS, Card, Progress
from serving.online.windows import key as window_key
from tests import tiny_model
from tests.scorer_process import API_KEY, HASH_KEY, Desk, Scorer, Valkey, body, payment, until

CARD = "4111 1111 1111 1111"
DAY = dt.date(2026, 11, 21).toordinal() - dt.date(1970, 1, 1).toordinal()
OBSERVED_US = int(dt.datetime(2026, 11, 21, 2, 14, 58, tzinfo=dt.UTC).timestamp()) * 1_000_000
"""Two seconds before the test payments."""


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    """A Redis with one card and one acceptor of the day of the test payments, and the card's window."""
    server = Valkey.at(tmp_path_factory.mktemp("valkey"))
    server.start()
    client = server.client()
    known = keyed_hash(bytes.fromhex(HASH_KEY), CARD)
    for kind, name in ((Kind.CARD, known), (Kind.ACCEPTOR, "acquirer-1:M-77")):
        values = np.full((1, len(kind.columns)), 5.0)
        client.set(kind.prefix + name.encode(), pack(kind, np.array([DAY], np.int32), np.array([1]), values)[0])
        client.set(kind.meta_key, Meta(DAY, 1).pack())
    card = Card(3, 7)
    for minutes in (3, 30):
        earlier = payment(minutes, event_time=OBSERVED_US - minutes * 60_000_000, amount_minor=1_000)
        features.observe(card.window, earlier)
    client.set(window_key(known), card.pack())
    for name in PROGRESS_KEYS:
        client.set(name, Progress(9, OBSERVED_US).pack())
    yield server
    server.kill()


@pytest.fixture(scope="module")
def scorer(valkey, tmp_path_factory):
    """A scorer with the tiny model."""
    process = Scorer.at(tmp_path_factory.mktemp("scorer"), valkey.url)
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def client(scorer):
    """A client with the right key."""
    with scorer.client() as opened:
        yield opened


def ask(client, number, **changes):
    answer = client.post("/predict", content=body(number, **changes))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_approval_is_explained_on_request(client):
    """Without a request only what goes to review has reasons."""
    plain, explained = ask(client, 801, amount="6.00"), ask(client, 802, amount="6.00", explain=True)
    assert plain["score"] == explained["score"]
    assert plain["decision"] == "approve"
    assert plain["reasons"] == []
    assert explained["reasons"]


def test_a_decision_says_all_it_should(client):
    """Score, decision, reasons in words, ages, model and hashes: the published form, with this program's own hash."""
    found = ask(client, 1)
    answer = Answer.model_validate(found)
    assert (answer.score >= answer.threshold) == (answer.decision == "review")
    assert "249.90 USD is 50 times this card's 30-day average of 5.00 USD" in answer.reasons[0].text
    assert found["features"]["card"] == {"status": "fresh", "as_of_day": "2026-11-21", "age_s": 8100}
    assert found["features"]["window"] == {"status": "fresh", "as_of_day": None, "age_s": 2}
    assert not answer.degraded
    assert answer.schema_hash == features.SCHEMA_HASH
    assert client.get("/model").json()["model"]["sha256"] == answer.model.sha256


def test_score_is_the_models_own(client):
    """The score is, to the bit, what the model says of the vector that features.py builds."""
    record = payment(
        2, event_time=1795227300000000, amount_minor=24990, card_id="ab" * 32, amount=None, card_number=None
    )
    found = ask(client, 2, **record, amount=None, card_number=None)
    card = features.Profile(features.Status.NEW)
    acceptor = features.Profile(features.Status.FRESH, (5.0,) * len(features.ACCEPTOR_COLUMNS), DAY)
    vector = features.build(record, card, acceptor, features.windowed(record, features.Window()))
    assert found["score"] == tiny_model.model().score(vector.to_array()[None])[0]
    assert found["features"]["card"]["status"] == "new"
    assert not found["degraded"]


def test_groups_are_told_apart(client):
    """New, absent, stale and future groups are told apart; only the last two degrade, by name."""
    new = ask(client, 10, merchant_id="unheard-of", card_number="4111111111119999")
    assert [group["status"] for group in new["features"].values()] == ["new", "new", "fresh"]
    assert not new["degraded"]
    absent = ask(client, 11, merchant_id=None)
    assert absent["features"]["acceptor"] == {"status": "absent", "as_of_day": None, "age_s": None}
    assert not absent["degraded"]
    early = ask(client, 12, event_time="2026-11-19T00:00:00Z")
    assert degraded(early) == {"card": "future", "acceptor": "future", "window": "late"}
    unobserved = ask(client, 13, event_time="2026-11-21T02:15:14Z")
    assert degraded(unobserved) == {"window": "stale"}


def degraded(answer):
    assert answer["degraded"] == bool(answer["degraded_groups"])
    return {missing["group"]: missing["status"] for missing in answer["degraded_groups"]}


def test_the_same_payment_gets_the_same_answer(client, valkey):
    """Asked again, spelt otherwise, or by many at once: one answer to the byte; the repeat is found in Redis."""
    first = client.post("/predict", content=body(20))
    spelt = json.dumps(dict(reversed(list(payment(20, card_number=CARD.replace(" ", "-")).items()))))
    assert client.post("/predict", content=spelt).content == first.content
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: client.post("/predict", content=body(21)).content, range(40))
    assert len(set(answers)) == 1
    lives = [valkey.client().ttl(key) for key in valkey.client().scan_iter("predict:*")]
    assert lives
    assert all(23 * 3600 < life <= 24 * 3600 for life in lives)


def test_two_scorers_give_one_answer(client, scorer, valkey, tmp_path):
    """Another scorer on the same Redis gives the answer that the first one gave."""
    other = Scorer.at(tmp_path / "other", valkey.url)
    other.cache_model(tiny_model.files(seed=3))
    other.start_ready()
    try:
        with other.client() as second:
            first = client.post("/predict", content=body(25))
            assert second.post("/predict", content=body(25)).content == first.content
            fresh = second.post("/predict", content=body(26)).json()
            assert fresh["model"] != first.json()["model"]
    finally:
        other.kill()


def test_another_body_is_a_conflict(client):
    """The same id with another body is 409, as a problem document, and the first answer stands."""
    first = client.post("/predict", content=body(30))
    other = client.post("/predict", content=body(30, amount="1.00"))
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json()["code"] == "conflict"
    assert client.post("/predict", content=body(30)).content == first.content


def test_keys_are_checked(scorer, client):
    """No key, a wrong one, or the hash itself: 401 as a problem; health needs none."""
    for key in (None, "wrong", ""):
        with scorer.client(key) as stranger:
            for path in ("/predict", "/predict/batch", "/model", "/nowhere"):
                answer = stranger.post(path, content=body(40))
                assert answer.status_code == 401
                assert answer.headers["content-type"] == "application/problem+json"
                assert "www-authenticate" in answer.headers
            for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
                assert stranger.get(path).status_code == 200
    assert client.post("/nowhere").status_code == 404
    assert client.get("/predict").status_code == 405
    assert client.get("/nowhere").headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "field"),
    [(b"{", "body"), (b"", "body"), (body(50, currency="XXL"), "currency"), (body(50, source=None), "source")],
)
def test_malformed_bodies_are_422(client, content, field):
    """Field and reason are named; the request id is the one in the header."""
    answer = client.post("/predict", content=content)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_large_bodies_are_413(client):
    """A body over the limit is refused, with its length declared or not."""
    large = body(60, merchant_id="x" * 20_000)
    assert client.post("/predict", content=large).status_code == 413
    assert client.post("/predict", content=iter([large[:9_000], large[9_000:]])).status_code == 413
    assert ask(client, 61)["decision"]


def test_a_batch_is_answered_one_by_one(client):
    """Each payment of a batch has its own answer, problem or conflict, the same as it would have alone."""
    alone = ask(client, 70)
    payments = [payment(70), payment(70, amount="1"), payment(71, currency="XXL"), "text", payment(72), payment(72)]
    answer = client.post("/predict/batch", json={"payments": payments})
    assert answer.status_code == 200
    BatchAnswer.model_validate(answer.json())
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [200, 409, 422, 422, 200, 200]
    assert results[0]["answer"] == alone
    assert results[4]["answer"] == results[5]["answer"] == ask(client, 72)
    whole = client.post("/predict/batch", json={"payments": [payment(1_000 + n) for n in range(200)]}).json()
    assert [result["answer"]["transaction_id"] for result in whole["results"]] == [
        f"pay-{1_000 + n:08d}" for n in range(200)
    ]
    for wrong in ({"payments": []}, {"payments": [payment(1)] * 201}, [], {"payment": []}):
        assert client.post("/predict/batch", json=wrong).status_code == 422


def test_rate_is_limited_per_key(valkey, tmp_path):
    """Beyond its rate a key is told 429 and how long to wait; after that wait it is served again."""
    process = Scorer.at(tmp_path / "s", valkey.url, SCORER_RATE_PER_S="5", SCORER_BURST="5")
    process.cache_model()
    process.start_ready()
    try:
        with process.client() as hurried:
            answers = [hurried.post("/predict", content=body(100 + n)) for n in range(8)]
            refused = [answer for answer in answers if answer.status_code == 429]
            assert refused
            assert int(refused[0].headers["retry-after"]) >= 1
            until(lambda: hurried.post("/predict", content=body(100)).status_code == 200, "served again", 10)
            assert hurried.post("/predict/batch", json={"payments": [payment(1)] * 6}).status_code == 429
    finally:
        process.kill()


def test_without_a_model_not_ready(valkey, tmp_path):
    """A scorer without a model is alive and not ready; whoever asks it all the same has the fallback's answer."""
    process = Scorer.at(tmp_path / "s", valkey.url)
    process.start()
    try:
        with process.client() as early:
            assert early.get("/health/live").status_code == 200
            assert early.get("/health/ready").status_code == 503
            assert early.get("/health/ready").json()["code"] == "no_model"
            answer = early.post("/predict", content=body(990))
            assert answer.status_code == 200
            found = answer.json()
            assert (found["decision"], found["decided_by"]) == ("approve", "fallback")
            assert (found["score"], found["threshold"], found["model"]) == (None, None, None)
    finally:
        process.kill()


def test_starts_only_with_its_secrets(valkey, tmp_path):
    """With a key that is none, or sessions without a secret, a program refuses to start and names the setting."""
    for program, setting in (
        (Scorer, {"CARD_HASH_KEY": "short"}),
        (Scorer, {"DECISION_KEY": ""}),
        (Desk, {"SESSION_SECRET": ""}),
        (Desk, {"SESSION_SECRET": "short"}),
    ):
        process = program.at(tmp_path / "s", valkey.url, **setting)
        done = subprocess.run(process.command, env=process.environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 1
        assert next(iter(setting)) in done.stderr.decode()


def test_openapi_examples_work_as_published(client):
    """What the OpenAPI page shows can be sent as it stands, and every route's problems are described."""
    page = client.get("/openapi.json").json()
    examples = page["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        assert client.post("/predict", json=example["value"]).status_code == 200
    batch = page["paths"]["/predict/batch"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in batch.values():
        assert client.post("/predict/batch", json=example["value"]).status_code == 200
    assert {"200", "401", "409", "413", "422", "429", "503"} <= set(page["paths"]["/predict"]["post"]["responses"])
    assert page["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
    assert openapi.EXAMPLE in [example["value"] for example in examples.values()]


def test_metrics_count_every_request(client, scorer):
    """A request is counted once, under its path and status; a decision under its verdict."""

    def counted(name):
        lines = scorer.metrics().splitlines()
        return float(next((line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)), 0))

    name = 'fraud_requests_total{path="/predict",status="422"}'
    before, decided = counted(name), counted('fraud_decisions_total{decision="review"}')
    client.post("/predict", content=b"{")
    assert ask(client, 300)["decision"] == "review"
    assert counted(name) == before + 1
    assert counted('fraud_decisions_total{decision="review"}') == decided + 1
    assert counted('fraud_breaker_state{state="closed"}') == 1


def test_nothing_personal_is_logged_or_stored(client, scorer, valkey, tmp_path):
    """No card number, in any spelling, in the log, in Redis or on the scorer's disk; the log has no bodies.

    A decision's record, which names its payment, is kept and recorded.
    """
    client.post("/predict", content=body(400, card_number="5500-0055-5555-5559", transaction_id="seen-by-log"))
    client.post("/predict", content=body(401, card_number="5500-0055-5555-5559", currency="XXL"))
    client.post("/predict?card=5500005555555559", content=body(402), headers={"X-Request-Id": "5500005555555559"})
    until(lambda: scorer.log.read_bytes().count(b'"path":"/predict"') > 3, "the access log is written")
    redis_client = valkey.client()
    kept = b"".join(redis_client.get(key) or b"" for key in redis_client.scan_iter("predict:*"))
    disk = b"".join(path.read_bytes() for path in scorer.home.rglob("*") if path.is_file())
    for text in (b"5500005555555559", b"5500-0055-5555-5559", b"seen-by-log"):
        assert text not in scorer.log.read_bytes()
        # A decision that waits for Kafka stands in both; that of a payment has its id and its card's hash.
        assert (text in disk) == (text in kept) == (text == b"seen-by-log")
    assert b"249.90" not in scorer.log.read_bytes()


def test_request_ids_are_kept(client):
    """A plain request id of the caller is used in header and body; anything else is replaced."""
    answer = client.post("/predict", content=body(500), headers={"X-Request-Id": "trace-17"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-17"
    odd = client.post("/predict", content=body(501), headers={"X-Request-Id": "a b\tc"})
    assert odd.json()["request_id"] == odd.headers["x-request-id"] != "a b\tc"


def test_keep_alive_survives_refusals(scorer):
    """One connection carries refused and served requests alike."""
    with httpx.Client(base_url=scorer.url, limits=httpx.Limits(max_connections=1)) as one:
        for key, status in (("wrong", 401), (API_KEY, 200), ("wrong", 401), (API_KEY, 200)):
            headers = {"X-API-Key": key}
            assert one.post("/predict", content=body(600), headers=headers).status_code == status


def test_answers_without_a_body_arrive(client):
    """HEAD, which has a head and no body, is answered at once, and the connection stays usable."""
    for _ in range(3):
        assert client.head("/health/live", timeout=2).status_code == 200
        assert client.get("/health/live", timeout=2).status_code == 200


def test_cache_that_was_tampered_with_is_refused(valkey, tmp_path):
    """A cached model whose file was changed is not used: not ready, and /model names both hashes."""
    process = Scorer.at(tmp_path / "s", valkey.url)
    process.cache_model()
    onnx = next((process.home / "cache").rglob("model.onnx"))
    onnx.write_bytes(onnx.read_bytes() + b"\0")
    process.start()
    try:
        with process.client() as early:
            until(lambda: early.get("/model").json()["refused"] is not None, "the cached model is refused")
            assert "SHA-256" in early.get("/model").json()["refused"]["why"]
            assert early.get("/health/ready").status_code == 503
    finally:
        process.kill()
        shutil.rmtree(process.home, ignore_errors=True)
