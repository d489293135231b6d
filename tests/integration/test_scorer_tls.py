"""Scorer and desk over TLS: known by their authority alone, keep-alive and streams as without it, cookies secure."""

import ssl
from pathlib import Path

import httpx
import pytest

from infra.native.paths import Home
from infra.native.setup import certificates, scorer_tls
from infra.native.state import asking
from tests.scorer_process import INVESTIGATOR_KEY, OPERATOR_KEY, Desk, Process, Scorer, Valkey, body, until


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """A scorer with a certificate as a first start makes it."""
    home = Home(tmp_path_factory.mktemp("stack"))
    env = scorer_tls.variables(home, {}, {"API_URL": "http://127.0.0.1:8000"}, {"SCORER_TLS": "on"})
    scorer_tls.write(home, env)
    valkey = Valkey.at(tmp_path_factory.mktemp("valkey"))
    valkey.start()
    process = Scorer.at(tmp_path_factory.mktemp("scorer"), valkey.url, **env)
    process.cache_model()
    process.start_ready()
    yield process
    process.kill()
    valkey.kill()


def test_it_decides_for_who_knows_it_by_its_authority(scorer):
    """With the CA requests go through one connection; without it the client refuses; plain HTTP gets nothing."""
    with scorer.client() as client:
        for number in range(3):
            assert client.post("/predict", content=body(number)).json()["decision"] == "review"
    assert asking.get_json(f"{scorer.url}/health/ready", scorer.environment["API_CA"])
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{scorer.url}/health/live", verify=ssl.create_default_context())
    with pytest.raises(httpx.HTTPError):
        httpx.get(scorer.url.replace("https", "http") + "/health/live")


@pytest.fixture(scope="module")
def desk(scorer):
    """A desk with the same certificate."""
    settings = {name: scorer.environment[name] for name in ("SCORER_TLS", "SCORER_TLS_FILE", "API_CA")}
    process = Desk.at(scorer.home, scorer.environment["REDIS_URL"], API_URL=scorer.url, **settings)
    process.start()
    yield process
    process.kill()


def test_the_desk_asks_the_scorer_over_tls(desk):
    """It knows the scorer by the same authority, and hears that its decisions wait: there is no Kafka here."""
    with desk.client(OPERATOR_KEY) as operator:
        operator.timeout = 60
        parts = {part["name"]: part for part in operator.get("/pipeline/health").json()["components"]}
    assert "does not answer" not in parts["scorer"]["said"]


def test_the_consoles_cookie_goes_over_tls_only(desk):
    """Signed in over TLS, the cookie is marked secure."""
    with httpx.Client(base_url=desk.url, verify=desk.trust, timeout=10) as browser:
        answer = browser.post("/console/sign-in", data={"key": INVESTIGATOR_KEY})
    assert answer.status_code == 303
    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_certificate_is_kept_until_it_ends_soon_and_needs_a_file(scorer, tmp_path, monkeypatch):
    """A second start keeps it; one that ends within two months is made anew; without a file the scorer says so."""
    home = Home(tmp_path)
    env = scorer_tls.variables(home, {"SCORER_TLS": "on"}, {"API_URL": "http://127.0.0.1:8000"}, {})
    scorer_tls.write(home, env)
    first = Path(env["API_CA"]).read_bytes()
    assert Path(env["SCORER_TLS_FILE"]).stat().st_mode & 0o077 == 0
    scorer_tls.write(home, env)
    assert Path(env["API_CA"]).read_bytes() == first
    monkeypatch.setattr(certificates, "RENEWED", certificates.VALID)
    scorer_tls.write(home, env)
    assert Path(env["API_CA"]).read_bytes() != first
    lost = Scorer.at(tmp_path / "s", "redis://127.0.0.1:1/0", SCORER_TLS="on", SCORER_TLS_FILE="/nowhere.pem")
    Process.start(lost)
    until(lambda: lost.child.poll() is not None, "it ends", 60)
    assert lost.child.returncode == 1
    assert "SCORER_TLS_FILE" in lost.log.read_text()
