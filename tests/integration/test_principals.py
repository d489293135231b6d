"""Who may do what: each route with each role, tenants apart from each other, keys that come and go while it runs."""

import json
import time

import httpx
import pytest

from contracts.identity import hash_key, keyed_hash
from serving.principals import file as keyfile
from serving.principals.principal import Role
from tests.scorer_process import (
    API_KEY,
    AUDITOR_KEY,
    HASH_KEY,
    INVESTIGATOR_KEY,
    OPERATOR_KEY,
    Desk,
    Scorer,
    add_key,
    body,
    payment,
    until,
)

I, V, A, O = Role.INTEGRATOR, Role.INVESTIGATOR, Role.AUDITOR, Role.OPERATOR  # noqa: E741
KEYS = {I: API_KEY, V: INVESTIGATOR_KEY, A: AUDITOR_KEY, O: OPERATOR_KEY}
EVERYBODY = {I, V, A, O}
ANYBODY = None
"""No key is asked for."""
READERS = {I, V, A}
SCORER = {
    "POST /predict": {I},
    "POST /predict/batch": {I},
    "POST /tokens": {I},
    "GET /model": EVERYBODY,
    "GET /health/live": ANYBODY,
    "GET /health/ready": ANYBODY,
    "GET /metrics": {O},
}
DESK = {
    "GET /alerts/recent": READERS,
    "GET /alerts/stream": READERS,
    "GET /alerts/card/{card_id}": READERS,
    "GET /alerts/by-payment": READERS,
    "POST /alerts/by-payment/disposition": {V},
    "PUT /alerts/by-payment/assignee": {V},
    "DELETE /alerts/by-payment/assignee": {V},
    "GET /alerts/{transaction_id}": READERS,
    "POST /alerts/{transaction_id}/disposition": {V},
    "GET /payments": READERS,
    "POST /payments/disposition": {V},
    "GET /stats/summary": READERS,
    "GET /stats/timeseries": READERS,
    "GET /pipeline/health": {V, A, O},
    "GET /pipeline/alerts": {V, A, O},
}
NOT_DESCRIBED = {
    ("scorer", "GET /docs"): ANYBODY,
    ("scorer", "GET /openapi.json"): ANYBODY,
    ("desk", "GET /docs"): ANYBODY,
    ("desk", "GET /openapi.json"): ANYBODY,
    ("desk", "GET /health/live"): ANYBODY,
    ("desk", "GET /health/ready"): ANYBODY,
    ("desk", "GET /metrics"): {O},
}
"""What serves the pages themselves, and the machines beside the desk."""
MATRIX = {("scorer", route): roles for route, roles in SCORER.items()}
MATRIX |= {("desk", route): roles for route, roles in DESK.items()} | NOT_DESCRIBED
SOON_S = 5
"""Within seconds, as promised."""


@pytest.fixture(scope="module")
def scorer(valkey, tmp_path_factory):
    """A scorer with the tiny model, a key of each role, and two tenants."""
    process = Scorer.at(tmp_path_factory.mktemp("scorer"), valkey.url)
    add_key(process.home, "key of a1", "tenant-1", I, "acquirer-1")
    add_key(process.home, "key of a2", "tenant-2", I, "acquirer-2", "acquirer-2b")
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def desk(valkey, scorer):
    """A desk of the same machine, with the same keys; no other server is there."""
    process = Desk.at(scorer.home, valkey.url, API_URL=scorer.url)
    process.start()
    yield process
    process.kill()


def described(process):
    """Return every route of the OpenAPI description, as `METHOD /path`, with the roles it names."""
    paths = httpx.get(f"{process.url}/openapi.json", timeout=30).json()["paths"]
    return {
        f"{method.upper()} {path}": operation.get("x-roles")
        for path, found in paths.items()
        for method, operation in found.items()
    }


def asked(process, key, route):
    """Call a route of the description with nothing that it could use: who may call it hears so, no server is asked."""
    method, path = route.split()
    path = path.replace("{transaction_id}", "x").replace("{card_id}", "0" * 64)
    with process.client(key) as client:
        client.timeout = 30
        useless = {"params": {"limit": 0, "hours": 0}, "headers": {"Last-Event-ID": "x"}}
        return client.request(method, path, json={} if method == "POST" else None, **useless)


def test_every_route_has_its_row(scorer, desk):
    """A route without a row in the matrix fails here; the description names the same roles."""
    for process, rows in ((scorer, SCORER), (desk, DESK)):
        found = described(process)
        assert {route: None if roles is None else set(roles) for route, roles in found.items()} == rows


@pytest.mark.parametrize(("name", "route"), sorted(MATRIX))
def test_each_role_may_do_what_its_row_says(scorer, desk, name, route):
    """A role outside the row is 403, inside it is not; without a key it is 401, unless anybody may ask."""
    process = {"scorer": scorer, "desk": desk}[name]
    allowed = MATRIX[name, route]
    stranger = asked(process, None, route)
    assert (stranger.status_code == 401) == (allowed is not ANYBODY), stranger.text
    for role, key in KEYS.items():
        answer = asked(process, key, route)
        may = allowed is ANYBODY or role in allowed
        assert (answer.status_code in {401, 403}) != may, (role, answer.text)
        if not may:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "forbidden"
            assert f"yours is {role}" in answer.json()["detail"]


def test_prometheus_can_send_an_operators_key(scorer):
    """`Authorization: Bearer` is taken as X-API-Key is, and only a key that is one."""
    for key, status in ((f"Bearer {OPERATOR_KEY}", 200), ("Bearer wrong", 401), (f"Basic {OPERATOR_KEY}", 401)):
        answer = httpx.get(f"{scorer.url}/metrics", headers={"Authorization": key}, timeout=10)
        assert answer.status_code == status


def test_a_tenant_asks_for_its_own_sources_only(scorer):
    """A foreign source is 403 with its field, alone and in a batch, and leaves no answer that the owner would meet."""
    with scorer.client("key of a1") as one, scorer.client("key of a2") as two:
        for extra in ({}, {"observe": True}):
            foreign = one.post("/predict", content=body(1, source="acquirer-2", amount="1.00", **extra))
            assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_source")
            assert foreign.json()["errors"][0]["field"] == "source"
        assert two.post("/predict", content=body(1, source="acquirer-2")).status_code == 200
        many = [payment(2), payment(3, source="acquirer-2"), payment(4, source="acquirer-1")]
        results = one.post("/predict/batch", content=json.dumps({"payments": many})).json()["results"]
        assert [each["status"] for each in results] == [200, 403, 200]
        assert results[1]["problem"]["code"] == "foreign_source"
        assert two.post("/predict", content=body(5, source="acquirer-2b")).status_code == 200


def test_keys_come_and_go_while_it_runs(scorer):
    """Added and revoked by the command, in force within seconds without a restart."""
    with scorer.client("a key of later") as client:
        assert client.post("/predict", content=body(10)).status_code == 401
        add_key(scorer.home, "a key of later", "later", I)
        until(lambda: client.post("/predict", content=body(10)).status_code == 200, "the key is in force", SOON_S)
        keyfile.revoke(scorer.home / "keys.json", "later")
        until(lambda: client.post("/predict", content=body(10)).status_code == 401, "the key is out of force", SOON_S)


def test_a_damaged_file_of_keys_costs_no_decision(scorer, desk):
    """The last good keys stay in force; nobody signs in; health names the file; mended, all is as before."""
    file = scorer.home / "keys.json"
    good = file.read_bytes()
    file.write_bytes(good[:-30])
    try:
        with scorer.client() as client:
            until(lambda: client.get("/health/ready").json()["keys"]["refused"], "the damage is seen", SOON_S)
            assert str(file) in client.get("/health/ready").json()["keys"]["refused"]
            assert client.post("/predict", content=body(20)).status_code == 200
        assert "fraud_keys_file_bad 1.0" in scorer.metrics()
        until(lambda: "fraud_keys_file_bad 1.0" in desk.metrics(), "the desk sees it too", SOON_S)
        refused = httpx.post(f"{desk.url}/console/sign-in", data={"key": INVESTIGATOR_KEY}, timeout=10)
        assert refused.status_code == 503
        with desk.client(OPERATOR_KEY) as operator:
            wrong = operator.get("/pipeline/alerts", timeout=30).json()["troubles"]
            assert "keys" in {trouble["component"] for trouble in wrong}
    finally:
        file.write_bytes(good)
    until(lambda: httpx.get(f"{scorer.url}/health/ready").json()["keys"]["refused"] is None, "it is mended", SOON_S)


def test_without_a_file_of_keys_it_is_not_ready(valkey, tmp_path):
    """Nobody is let in and health says what to do; the first key needs no restart."""
    process = Scorer.at(tmp_path / "s", valkey.url)
    process.cache_model()
    (process.home / "keys.json").unlink()
    process.start()
    try:
        with process.client() as client:
            until(lambda: "keys add" in client.get("/health/ready").text, "health says what to do")
            assert client.get("/health/ready").status_code == 503
            answer = client.post("/predict", content=body(1))
            assert (answer.status_code, answer.json()["code"]) == (503, "no_keys")
            add_key(process.home, API_KEY, "integrator", I)
            until(lambda: client.post("/predict", content=body(1)).status_code == 200, "the key is in force", SOON_S)
    finally:
        process.kill()


def test_tokens_are_the_card_ids_of_payments(scorer, tmp_path):
    """Numbers become card_ids one by one; a wrong one is refused alone; nothing sent stands in answer or log."""
    numbers = ["4111 1111 1111 1111", "4111 1111 1111 1112", "5500005555555559", 7]
    with scorer.client() as client:
        answer = client.post("/tokens", json={"card_numbers": numbers})
        made = answer.json()["tokens"]
        assert made[0] == {"card_id": keyed_hash(hash_key(HASH_KEY), "4111111111111111")}
        assert [each["card_id"] is None for each in made] == [False, True, False, True]
        assert made[1]["code"] == "not_a_card_number"
        assert "5500005555555559" not in answer.text
        assert "1112" not in answer.text
        assert client.post("/tokens", json={"card_numbers": ["4111111111111111"] * 1_000}).status_code == 200
        for wrong in ([], ["4111111111111111"] * 1_001, "4111111111111111"):
            refused = client.post("/tokens", json={"card_numbers": wrong})
            assert refused.status_code == 422
            assert "4111" not in refused.text
        refused = client.post("/tokens", json={"card_numbers": ["1"], "5500005555555559": 1})
        assert refused.status_code == 422
        assert "5500005555555559" not in refused.text
    with scorer.client("key of a1") as slow:
        spent = [slow.post("/tokens", json={"card_numbers": ["1"] * 1_000}).status_code for _ in range(4)]
        assert 429 in spent, "a range of numbers cannot be asked for at the speed of payments"
    time.sleep(1.5)  # the access log is written each second
    assert b"5500005555555559" not in scorer.log.read_bytes()
    assert 'fraud_tokens_total{principal="integrator"}' in scorer.metrics()


def test_sign_ins_are_limited_and_counted(desk):
    """After five failures even the right key waits; it is counted, and logged without the key."""
    with desk.client(None) as browser:
        for _ in range(5):
            assert browser.post("/console/sign-in", data={"key": "a-guess-of-mine"}).status_code == 401
        limited = browser.post("/console/sign-in", data={"key": INVESTIGATOR_KEY})
        assert limited.status_code == 429
        assert int(limited.headers["retry-after"]) > 30
        text = desk.metrics()
        assert 'fraud_sign_ins_total{outcome="refused"}' in text
        assert 'fraud_sign_ins_total{outcome="limited"} 1.0' in text
    log = desk.log.read_text()
    assert "a sign-in from 127.0.0.1 was refused" in log
    assert "a-guess-of-mine" not in log
