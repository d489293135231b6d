"""The console in a real browser: signed in, an alert is opened and confirmed by keyboard, and its label is on Kafka."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from infra.native.machine.programs import browser as chromium
from infra.native.paths import Home
from serving.principals import file as keyfile
from serving.principals.principal import Role
from tests.integration import alerts_morning
from tests.integration.alerts_trial import AlertsTrial
from tests.scorer_process import API_KEY, INVESTIGATOR_KEY, Desk, add_key, until

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
SIZE = {"width": 1360, "height": 820}


@pytest.fixture(scope="module")
def trial(stack: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertsTrial]:
    """A queue as a morning brings it."""
    made = AlertsTrial(tmp_path_factory.mktemp("console"))
    made.sink()
    records = alerts_morning.decided(made)
    made.send(records)
    made.wait_for(len(records))
    yield made
    made.end()


@pytest.fixture(scope="module")
def desk(trial: AlertsTrial) -> Desk:
    """A desk over it."""
    return trial.desk()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = chromium()
    assert program, "no Chromium; `make doctor` says how to install it"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def context(browser: Browser, desk: Desk) -> Iterator[BrowserContext]:
    """A browser's window of its own."""
    made = browser.new_context(base_url=desk.url, viewport=SIZE)
    made.set_default_timeout(20_000)
    yield made
    made.close()


def sign_in(context: BrowserContext, key: str = INVESTIGATOR_KEY) -> Page:
    """Open the console and sign in."""
    page = context.new_page()
    page.goto("/console")
    page.get_by_label("Your key").fill(key)
    page.keyboard.press("Enter")
    return page


def keys_work(page: Page) -> None:
    """Wait until the page's script has run: it shows the list of its keys after it has begun to listen to them."""
    expect(page.locator("#help-open")).to_be_visible()


def shot(page: Page, name: str) -> None:
    """Keep a picture where CONSOLE_PICTURES says."""
    if folder := os.environ.get("CONSOLE_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=name == "alert")


def test_an_alert_is_confirmed_with_the_keyboard(trial: AlertsTrial, context: BrowserContext) -> None:
    """Sign in, j, Enter, f, Enter: the alert is judged, and the labels of its ticked payments are on Kafka."""
    page = sign_in(context)
    expect(page.locator("#rows tr").first).to_be_visible()
    losses = [float(row.get_attribute("data-loss") or 0) for row in page.locator("#rows tr").all()]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == trial.count("alerts") > 5
    shot(page, "queue")
    keys_work(page)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Card")
    ticked = page.locator("input[name=also]:checked").count()
    shot(page, "alert")
    keys_work(page)
    page.keyboard.press("f")
    expect(page.locator("#send")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".done")).to_contain_text(f"{ticked + 1} payment")
    expect(page.locator("#rows tr")).to_have_count(len(losses) - 1)
    made = trial.sent_labels()
    assert len(made) == ticked + 1
    assert {(label["verdict"], label["by"], label["origin"]) for label in made} == {("fraud", "j.doe", "analyst")}


def test_new_alerts_come_by_themselves(trial: AlertsTrial, desk: Desk, context: BrowserContext) -> None:
    """An alert raised while the queue is open appears in its place, and one judged elsewhere goes."""
    page = sign_in(context)
    expect(page.locator("#live-text")).to_have_text("live")
    trial.send([trial.decision(50, "fresh-1", minor=99_000_000, score=0.99)])
    first = page.locator("#rows tr").first
    expect(first).to_contain_text("980,100.00")
    number = first.get_attribute("data-id")
    with desk.client(INVESTIGATOR_KEY) as client:
        said = {"verdict": "genuine"}
        assert client.post("/alerts/fresh-1/disposition", json=said).status_code == 200
    expect(page.locator(f"#alert-{number}")).to_have_count(0)


def test_it_works_without_script(browser: Browser, desk: Desk, trial: AlertsTrial) -> None:
    """Without JavaScript: sign in, open an alert, tick a payment that was approved, say genuine."""
    context = browser.new_context(base_url=desk.url, viewport=SIZE, java_script_enabled=False)
    page = sign_in(context)
    page.locator(".row-link").nth(1).click()
    page.locator("input[name=also]:not(:checked)").first.check()
    page.get_by_label("Genuine").check()
    page.get_by_label("Note").fill("asked the holder")
    before = len(trial.sent_labels())
    page.get_by_role("button", name="Send the verdict").click()
    expect(page.locator(".done")).to_contain_text("genuine")
    assert len(trial.sent_labels()) > before
    context.close()


def test_a_wrong_key_and_a_forged_form_are_refused(desk: Desk, context: BrowserContext, trial: AlertsTrial) -> None:
    """A wrong key does not sign in; a form without its token, or from another site, changes nothing."""
    page = sign_in(context, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page = sign_in(context, API_KEY)
    expect(page.get_by_role("alert")).to_contain_text("investigator")
    page = sign_in(context)
    expect(page.locator("#rows tr").first).to_be_visible()
    cookie = next(each for each in context.cookies() if each["name"] == "console_session")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    number = page.locator("#rows tr").first.get_attribute("data-id")
    address = f"{desk.url}/console/alerts/{number}/disposition"
    before = len(trial.sent_labels())
    cookies = {cookie["name"]: cookie["value"]}
    for data, headers in (({"token": "x"}, {}), ({}, {}), ({"token": "x"}, {"Sec-Fetch-Site": "cross-site"})):
        answer = httpx.post(address, data={"verdict": "fraud"} | data, cookies=cookies, headers=headers)
        assert answer.status_code == 403
    # Not the last character, of which some bits say nothing.
    value = cookie["value"]
    tampered = {cookie["name"]: value[:-9] + ("0" if value[-9] != "0" else "1") + value[-8:]}
    assert httpx.get(f"{desk.url}/console/queue", cookies=tampered).status_code == 303
    assert len(trial.sent_labels()) == before


def test_sign_out_and_revocation_end_a_session_and_its_stream(desk: Desk, trial: AlertsTrial) -> None:
    """A cookie that was kept opens nothing after sign-out, nor after its key was revoked; open streams end with it."""
    add_key(desk.home, "key of leaving", "leaving", Role.INVESTIGATOR)
    with desk.client("key of leaving") as api:  # not by signing in: a wrong key there counts as an attempt
        until(lambda: api.get("/alerts/recent").status_code == 200, "the key is in force")
    for end in ("sign out", "revoke"):
        with httpx.Client(base_url=desk.url, timeout=20) as browser:
            assert browser.post("/console/sign-in", data={"key": "key of leaving"}).status_code == 303
            cookies = dict(browser.cookies)
            page = browser.get("/console/queue")
            assert "leaving" in page.text
            token = page.text.split('name="token" value="')[1].split('"')[0]
            with httpx.stream("GET", f"{desk.url}/console/stream", cookies=cookies, timeout=20) as stream:
                lines = stream.iter_lines()
                assert "retry: 2000" in (next(lines), next(lines))
                assert httpx.post(f"{desk.url}/console/sign-out", cookies=cookies).status_code == 403
                if end == "sign out":
                    assert browser.post("/console/sign-out", data={"token": token}).status_code == 303
                else:
                    keyfile.revoke(desk.home / "keys.json", "leaving")
                for _ in lines:
                    pass
            for path in ("/console/queue", "/console/stream", "/console/pipeline"):
                answer = httpx.get(f"{desk.url}{path}", cookies=cookies)
                assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")


def test_help_and_dark(browser: Browser, desk: Desk) -> None:
    """? opens the list of keys; the dark theme has its own ground; nothing is loaded from elsewhere or refused."""
    context = browser.new_context(base_url=desk.url, viewport=SIZE, color_scheme="dark")
    asked: list[str] = []
    complaints: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page = sign_in(context)
    expect(page.locator("#rows tr").first).to_be_visible()
    shot(page, "queue-dark")
    keys_work(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 19, 24)"
    page.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="Pipeline").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    shot(page, "pipeline-dark")
    assert all(address.startswith(desk.url) for address in asked)
    assert complaints == []
    context.close()
