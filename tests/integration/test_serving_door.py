"""The scorer's HTTP door, abused: callers that say nothing, bodies that trickle, whatever a fuzzer thinks of."""

import importlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import jsonschema
import pytest
from playwright.sync_api import sync_playwright

from infra.native.machine.programs import browser as chromium
from settings import PROJECT_DIR
from tests.scorer_process import API_KEY, Scorer, body, payment, until

WITHIN_S = 3
HEAD = f"POST /predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {API_KEY}\r\nContent-Length: 500\r\n\r\n".encode()
ROUTES = "^/(predict|model|health|metrics)"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def scorer(valkey, tmp_path_factory):
    """A scorer that closes what keeps it waiting after a few seconds."""
    process = Scorer.at(tmp_path_factory.mktemp("scorer"), valkey.url, SCORER_RECEIVE_WITHIN_S=str(WITHIN_S))
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()


@pytest.fixture
def client(scorer):
    """A client with the right key."""
    with scorer.client() as opened:
        yield opened


def connect(scorer, said=b""):
    opened = socket.create_connection(("127.0.0.1", scorer.port), timeout=10)
    opened.sendall(said)
    return opened


def ends(opened, within_s):
    """Return what a connection still says before the scorer closes it; it must within so many seconds."""
    heard = b""
    with opened, suppress(ConnectionResetError):
        opened.settimeout(within_s)
        while part := opened.recv(65_536):
            heard += part
    return heard


def test_silent_and_slow_connections_are_closed(scorer):
    """No word, half a head, half a body: closed after some seconds; who had begun to ask is told 408."""
    opened = [connect(scorer, said) for said in (b"", HEAD[:20], HEAD, HEAD + b"{")]
    assert [ends(each, WITHIN_S + 10)[:12] for each in opened] == [b"", b"", b"HTTP/1.1 408", b"HTTP/1.1 408"]


def test_a_trickle_does_not_extend_the_deadline(scorer):
    """A byte now and then is no excuse, and neither are empty lines between requests."""
    for begun, drop in ((HEAD, b" "), (b"", b"\r\n")):
        with connect(scorer, begun) as opened:
            assert trickled(opened, drop, 4 * WITHIN_S + 20) < 4 * WITHIN_S + 20


def trickled(opened, drop, most_s):
    """Return for how many seconds a connection takes one drop after the other."""
    began = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - began < most_s:
            opened.sendall(drop)
            time.sleep(0.2)
    return time.monotonic() - began


def test_more_connections_than_files(scorer):
    """420 silent connections, then 420 half-said ones, where 400 files may be open: health and /predict answer."""
    _, hard = resource.prlimit(scorer.child.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(scorer.child.pid, resource.RLIMIT_NOFILE, (400, hard))
    try:
        time.sleep(2)  # the scorer looks at its limit once a second
        for said in (b"", HEAD + b"{"):
            held = [connect(scorer, said) for _ in range(420)]
            for number in range(5):
                assert httpx.get(f"{scorer.url}/health/live", timeout=5).status_code == 200
                answer = httpx.post(
                    f"{scorer.url}/predict", content=body(900 + number), headers={"X-API-Key": API_KEY}, timeout=5
                )
                assert answer.status_code == 200
            for each in held:
                each.close()
    finally:
        resource.prlimit(scorer.child.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert re.search(r'fraud_connections_closed_total\{why="room"\} [1-9]', scorer.metrics())


def test_it_ends_at_once_with_connections_open(valkey, tmp_path):
    """SIGTERM is not held up by connections that say nothing or have said half."""
    process = Scorer.at(tmp_path / "s", valkey.url)
    process.start()
    held = [connect(process, said) for said in (b"", HEAD, HEAD + b"{") for _ in range(20)]
    time.sleep(0.5)
    began = time.monotonic()
    process.send(signal.SIGTERM)
    process.child.wait(20)
    assert time.monotonic() - began < 4
    for each in held:
        each.close()


def test_head_is_get_without_a_body(client):
    """Probes that ask by HEAD are answered like those that ask by GET; other methods are told which there are."""
    for path in ("/health/live", "/health/ready", "/model", "/openapi.json", "/docs"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert client.get(path).status_code == 200
    assert client.head("/predict").status_code == 405
    for path, allowed in (("/predict", "POST"), ("/predict/batch", "POST"), ("/health/live", "GET, HEAD")):
        answer = client.delete(path)
        assert (answer.status_code, answer.headers["allow"], answer.json()["code"]) == (
            405,
            allowed,
            "method_not_allowed",
        )


def test_what_is_no_http_is_a_problem(scorer):
    """Garbage is answered 400, in the form of every other refusal, and the connection is closed."""
    head, _, problem = ends(connect(scorer, b"no http at all\r\n\r\n"), 5).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(problem)["code"] == "malformed_http"


def test_one_absurd_payment_is_refused_alone(client):
    """Of a batch only the item that no money or place can be is 422, with the code that it has alone."""
    absurd = [
        body(10, amount=None, amount_minor="here").replace(b'"here"', b"9" * 23),
        body(11, latitude="here", longitude=0.5).replace(b'"here"', b"NaN"),
        body(12, latitude="here", longitude=0.5).replace(b'"here"', b"1e999"),
        body(13, amount="here").replace(b'"here"', b'"1.00", "amount": "9999.00"'),
        body(14, amount="1.00000000000000000000000000000001"),
        body(15, amount="1_0.00"),
        body(16, message_type="refund"),
    ]
    alone = [client.post("/predict", content=each) for each in absurd]
    assert {each.status_code for each in alone} == {422}
    batch = b'{"payments": [%s]}' % b", ".join([body(1), *absurd, body(2)])
    results = client.post("/predict/batch", content=batch).json()["results"]
    assert [each["status"] for each in results] == [200, *[422] * len(absurd), 200]
    assert [each["problem"]["code"] for each in results[1:-1]] == [each.json()["code"] for each in alone]


def test_card_numbers_are_not_logged(scorer, client):
    """A card number in a path, a query, a header or where no HTTP is stays out of the log."""
    number = "5500005555555559"
    client.get(f"/alerts/{number}?card={number}")
    client.get(f"/{number}", headers={"X-Request-Id": number})
    client.post(f"/predict?card_number={number}", content=f'{{"{number}": 1}}')
    ends(connect(scorer, f"GET /{number} {number}\r\n\r\n".encode()), 5)
    until(lambda: scorer.log.read_bytes().count(b'"path":"other"') > 1, "the access log is written")
    assert number.encode() not in scorer.log.read_bytes()


def test_the_docs_page_loads_nothing_from_elsewhere(scorer):
    """The page works from this host alone, under a policy that forbids any other."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        answer = page.goto(f"{scorer.url}/docs")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        page.get_by_text("Decide on one payment").click()
        page.get_by_text("the card already hashed").first.wait_for(state="attached")
        browser.close()
    assert all(url.startswith((scorer.url, "data:")) for url in asked), asked
    assert not complaints


def test_the_description_is_whole(client):
    """Each reference resolves, each example fits its schema, and each operation says what may come from anywhere."""
    page = client.get("/openapi.json").json()
    names = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(page)))
    for name in names:
        found = page
        for part in name.split("/"):
            found = found[part]
    schema = {"$ref": "#/components/schemas/PaymentRequest", "components": page["components"]}
    for example in page["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"].values():
        jsonschema.Draft202012Validator(schema).validate(example["value"])
    for path in page["paths"].values():
        for operation in path.values():
            assert {"400", "405", "408", "413", "500", "503"} <= operation["responses"].keys()
            if operation.get("security"):
                assert {"401", "429"} <= operation["responses"].keys()


def test_fuzzing_finds_nothing(scorer, tmp_path):
    """Whatever the description allows or forbids: no 5xx, no status or body that it does not describe."""
    command = [str(BIN / "schemathesis"), "run", f"{scorer.url}/openapi.json", "--header", f"X-API-Key: {API_KEY}"]
    command += ["--include-path-regex", ROUTES, "--phases", "examples,coverage,fuzzing", "--max-examples", "40"]
    command += ["--seed", "1", "--generation-deterministic", "--exclude-checks", "positive_data_acceptance"]
    command += ["--suppress-health-check", "all", "--max-time", "60", "--no-color"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.integration.fuzz_checks",
        "PYTHONPATH": str(PROJECT_DIR),
    }
    # It keeps what it found in the folder where it runs.
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 50


def test_a_generated_client_decides_a_payment(client, scorer, tmp_path, monkeypatch):
    """A client that a generator makes of the description sends a payment and reads the decision, untouched."""
    description = tmp_path / "openapi.json"
    description.write_bytes(client.get("/openapi.json").content)
    command = [str(BIN / "openapi-python-client"), "generate", "--path", str(description), "--meta", "none"]
    command += ["--output-path", str(tmp_path / "generated"), "--fail-on-warning"]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("generated")
    models = importlib.import_module("generated.models")
    predict = importlib.import_module("generated.api.default.predict")
    asker = made.AuthenticatedClient(scorer.url, token=API_KEY, prefix="", auth_header_name="X-API-Key")
    answer = predict.sync(client=asker, body=models.PaymentRequest.from_dict(payment(20)))
    assert answer.to_dict() == client.post("/predict", content=body(20)).json()
    refused = predict.sync(client=asker, body=models.PaymentRequest.from_dict(payment(21, message_type="refund")))
    assert (refused.status, refused.code) == (422, "set_aside")
