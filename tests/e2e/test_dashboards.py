"""Superset in a real browser on the tour's data: every chart is there, and says what Trino says; rights, and faults."""

import os
import re
import secrets
import signal
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from clients import kafka, trino
from errors import DeniedError, LakehouseError, ServerError
from infra.native import stackenv
from infra.native.machine.programs import browser as chromium
from infra.native.paths import Home
from infra.native.processes import supervise
from infra.native.state import notes
from infra.native.state.ready import why_not
from infra.superset import assets, roles
from infra.superset.api import Api, signed_in
from tests.conftest import run_native, wait_until
from tests.e2e.conftest import python

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
SIZE = {"width": 1440, "height": 1700}
"""Tall enough that no chart waits to be scrolled to."""
DRAWN_MS = 120_000
TITLES = {
    "fraud-today": "Fraud today",
    "pipeline-quality": "Pipeline quality",
    "model-performance": "Model performance",
    "risk-explorer": "Risk explorer",
}

OUTCOMES = "FROM gold.decision_outcomes_daily"
NEWEST = f"(SELECT max(event_day) {OUTCOMES})"
ALERTED = "amount - approved_amount"
LETTERS = """(SELECT DISTINCT stage, code, source_topic, source_partition, source_offset,
    IF(source_offset IS NULL, ROW(letter_partition, letter_offset)) FROM silver.dead_letters)"""


def _today(what: str) -> str:
    return f"SELECT sum({what}) {OUTCOMES} WHERE event_day = {NEWEST}"


def _beside(column: str) -> str:
    sums = ", ".join(
        f"coalesce(sum({what}) FILTER (WHERE event_day = {NEWEST} - INTERVAL '{days}' DAY), 0)"
        for what in ("loss", ALERTED, "false_positive_amount")
        for days in (0, 1)
    )
    return f"SELECT {column}, {sums} {OUTCOMES} GROUP BY 1"


EXPECTED = {
    "Money lost today": _today("loss"),
    "Money stopped today": _today(ALERTED),
    "Money wrongly stopped today": _today("false_positive_amount"),
    "Payments decided today": _today("payments"),
    "By country": _beside("country"),
    "By category": _beside("mcc_group"),
    "By channel": _beside("channel"),
    "Payments arrived": "SELECT count(*) FROM bronze.transactions",
    "Dead letters": f"SELECT count(*) FROM {LETTERS}",
    "Payments that came twice": "SELECT count(*) FROM silver.transaction_repeats",
    "Payments in conflict": "SELECT count(*) FROM silver.transaction_conflicts",
    "Dead letters by reason": f"SELECT code, stage, coalesce(source_topic, 'none'), count(*) FROM {LETTERS} "
    "GROUP BY 1, 2, 3",
    "Average precision of the newest version": "SELECT average_precision FROM silver.training_runs "
    "ORDER BY trained_at DESC LIMIT 1",
    "Best trivial baseline on the same test": "SELECT best_baseline_average_precision FROM silver.training_runs "
    "ORDER BY trained_at DESC LIMIT 1",
    "Versions trained": "SELECT count(*) FROM silver.training_runs",
    "Training runs": "SELECT model_version, CAST(trained_at AS date), test_from, test_to, test_payments, test_frauds, "
    "average_precision, best_baseline_average_precision, recall, precision, threshold FROM silver.training_runs",
    "In service by week and version": "SELECT week, model_version, is_mature, decided, alerts, verdicts, frauds, "
    "frauds_alerted, false_positives, precision, recall, average_precision FROM gold.model_performance_weekly",
    "Frauds known": "SELECT sum(frauds) FROM gold.fraud_metrics_daily",
    "Amount of the frauds known": "SELECT sum(fraud_amount) FROM gold.fraud_metrics_daily",
    "Cards at risk": """SELECT card_id, max(event_day), max_by(known_frauds_30d, event_day),
        max_by(amount_at_risk, event_day) FROM gold.card_risk_daily
        WHERE event_day > (SELECT max(event_day) FROM gold.card_risk_daily) - INTERVAL '30' DAY
        GROUP BY 1 HAVING max_by(known_frauds_30d, event_day) > 0 ORDER BY 4 DESC LIMIT 50""",
    "Merchants at risk": """SELECT acceptor_id, merchant_risk_30d, merchant_tx_count_30d FROM gold.merchant_risk_daily
        WHERE as_of_day = (SELECT max(as_of_day) FROM gold.merchant_risk_daily) ORDER BY 2 DESC LIMIT 50""",
}
"""Every big number and table by the shortest way to it: from Silver or Bronze where that has it, not from the view."""
DRAWN = {
    "fraud-today": ("Lost, stopped and wrongly stopped by day",),
    "pipeline-quality": ("Dead letters by day and reason", "Arrivals by day"),
    "model-performance": (
        "Average precision by week and version",
        "Recall by week and version",
        "Precision by week and version",
    ),
    "risk-explorer": ("Frauds known by day",),
}
SHOWN = {
    "fraud-today": (
        "Money lost today",
        "Money stopped today",
        "Money wrongly stopped today",
        "Payments decided today",
        "By country",
        "By category",
        "By channel",
    ),
    "pipeline-quality": (
        "Payments arrived",
        "Dead letters",
        "Payments that came twice",
        "Payments in conflict",
        "Dead letters by reason",
        "Freshness of the tables",
    ),
    "model-performance": (
        "Average precision of the newest version",
        "Best trivial baseline on the same test",
        "Versions trained",
        "Training runs",
        "In service by week and version",
    ),
    "risk-explorer": ("Frauds known", "Amount of the frauds known", "Cards at risk", "Merchants at risk", "Payments"),
}


@pytest.fixture(scope="module")
def superset(stack: Home, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Superset on a stack that the tour has filled, nothing being refreshed meanwhile; the stack's variables."""
    if not _filled():
        request.getfixturevalue("line")
    refreshing = supervise.states(stack).get("refresh", {}).get("statename") == "RUNNING"
    supervise.stop_service(stack, "refresh")
    done = run_native(stack.root, "up", "--only", "superset", "--timeout", "400", timeout=900)
    assert done.returncode == 0, f"Superset did not start:\n{done.stdout}\n{done.stderr}"
    assert "4 dashboards, 3 roles" in done.stdout
    yield stackenv.required(stack)
    if refreshing:
        supervise.start_service(stack, "refresh")


@pytest.fixture(scope="module")
def api(superset: dict[str, str]) -> Iterator[Api]:
    """The administrator's session."""
    with signed_in(superset["SUPERSET_URL"], superset["SUPERSET_PASSWORD"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    program = chromium()
    assert program, "no Chromium; `make doctor` says how to install it"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def page(browser: Browser, superset: dict[str, str]) -> Iterator[Page]:
    """A page that the administrator has signed in on by hand."""
    context = browser.new_context(base_url=superset["SUPERSET_URL"], viewport=SIZE)
    opened = context.new_page()
    sign_in(opened, superset["SUPERSET_PASSWORD"])
    opened.wait_for_url(lambda url: "/login" not in url, timeout=DRAWN_MS)
    yield opened
    context.close()


def sign_in(page: Page, password: str) -> None:
    """Fill the login page in."""
    page.goto("/login/")
    page.locator("#username").fill("admin")
    page.locator("#password").fill(password)
    page.keyboard.press("Enter")


def chart(page: Page, name: str) -> Locator:
    """Return the place of a chart on the dashboard."""
    return page.locator(f'[data-test-chart-name="{name}"]')


def cells(drawn: Locator) -> list[list[str]]:
    """Return the text of a drawn table's cells, or of a big number."""
    number = drawn.locator(".header-line")
    if number.count():
        return [[number.inner_text()]]
    return [[cell.strip() for cell in row.locator("td").all_inner_texts()] for row in drawn.locator("tbody tr").all()]


def same(text: str, value: Any) -> bool:
    """Tell whether a cell shows a value, as far as its digits go."""
    if value is None:
        return text == "N/A"
    if isinstance(value, bool | str | date | datetime):
        return text == str(value).removesuffix(" 00:00:00") or text.lower() == str(value).lower()
    shown = text.replace(",", "")
    decimals = len(shown.partition(".")[2])
    return abs(float(shown) - float(value)) <= 0.500001 * 10**-decimals


@pytest.mark.parametrize("slug", TITLES)
def test_every_chart_is_drawn_and_says_what_trino_says(slug: str, page: Page) -> None:
    """On each dashboard every chart shows data and no error; big numbers and tables equal a direct query of Trino."""
    page.goto(f"/superset/dashboard/{slug}/")
    expect(page).to_have_title(TITLES[slug], timeout=DRAWN_MS)
    for name in (*SHOWN[slug], *DRAWN[slug]):
        content = chart(page, name).locator("canvas" if name in DRAWN[slug] else ".header-line, tbody tr td")
        expect(content.first, name).to_be_visible(timeout=DRAWN_MS)
    expect(page.locator("[data-test-chart-id]")).to_have_count(len(SHOWN[slug]) + len(DRAWN[slug]))
    expect(page.locator("[data-test-chart-id] .ant-empty, [data-test-chart-id] [role=alert]")).to_have_count(0)
    for name in SHOWN[slug]:
        if name in EXPECTED:
            check(name, cells(chart(page, name)), trino.query(EXPECTED[name]))
    shot(page, slug)


def check(name: str, found: list[list[str]], wanted: trino.Rows) -> None:
    """Compare a chart's cells with rows, in whatever order: each row of one is a row of the other."""
    assert len(found) == len(wanted) > 0, f"{name}: {len(found)} rows, Trino has {len(wanted)}"
    for row in found:
        match = next((each for each in wanted if all(map(same, row, each)) and len(row) == len(each)), None)
        assert match is not None, f"{name}: Trino has no row {row}, but {wanted[:3]} ..."
        wanted.remove(match)


def test_the_newest_rows_are_told_table_by_table(page: Page) -> None:
    """The freshness table names each table and the minute of its newest row."""
    page.goto("/superset/dashboard/pipeline-quality/")
    drawn = chart(page, "Freshness of the tables")
    expect(drawn.locator("tbody tr").first).to_be_visible(timeout=DRAWN_MS)
    wanted = dict(trino.query("SELECT table_name, newest_at FROM gold.freshness"))
    found = {row[0]: row[2] for row in cells(drawn)}
    assert found == {name: f"{moment:%Y-%m-%d %H:%M}" for name, moment in wanted.items()}
    assert len(found) >= 7


def test_a_click_on_a_card_shows_its_payments(page: Page) -> None:
    """The risk explorer goes from a card to that card's payments, and to no others."""
    page.goto("/superset/dashboard/risk-explorer/")
    card = chart(page, "Cards at risk").locator("tbody tr td").first
    expect(card).to_be_visible(timeout=DRAWN_MS)
    payments = chart(page, "Payments").locator("tbody tr")
    expect(payments.first).to_be_visible(timeout=DRAWN_MS)
    chosen = card.inner_text().strip()
    count = trino.query("SELECT least(count(*), 100) FROM silver.transactions WHERE card_id = ?", [chosen])[0][0]
    card.click()
    expect(payments).to_have_count(int(count), timeout=DRAWN_MS)
    assert {row[1] for row in cells(chart(page, "Payments"))} == {chosen}


@pytest.mark.usefixtures("superset")
def test_what_is_landed_stands_once() -> None:
    """Letters and runs that are known are not added again; Silver has as many letters as Kafka."""
    python("lake", "land")
    again = python("lake", "land")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "0 new in silver.dead_letters" in again.stdout
    assert "0 new in silver.training_runs" in again.stdout
    on_kafka = sum(after - first for first, after in kafka.offsets("transactions.dlq").values())
    assert trino.query("SELECT count(*) FROM silver.dead_letters")[0][0] == on_kafka > 0


def test_a_second_start_changes_nothing(stack: Home, superset: dict[str, str], api: Api, tmp_path: Path) -> None:
    """`make up superset` again keeps every id; what was loaded exports as the very files of the repository, twice."""
    before = _numbers(api)
    done = run_native(stack.root, "up", "--only", "superset")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _numbers(api) == before
    assert not roles.apply(api, roles.read())
    for _ in range(2):
        assets.export(api, tmp_path)
        for kind in ("databases", "datasets", "charts", "dashboards"):
            ours = {path.name: path.read_text() for path in (assets.ASSETS / kind).iterdir()}
            assert {path.name: path.read_text() for path in (tmp_path / kind).iterdir()} == ours
    hidden = [value for name, value in superset.items() if "PASSWORD" in name or "SECRET" in name]
    text = "".join(path.read_text() for path in tmp_path.rglob("*.yaml"))
    assert not [value for value in [*hidden, superset["TRINO_PORT"]] if value and value in text]


def test_a_filter_offers_the_values_of_a_column(api: Api) -> None:
    """What a column can be filtered by is what Trino has: the one question that Superset puts by way of pandas."""
    dataset = _numbers(api)["dataset/"]["payments_labelled"]
    offered = api.get(f"datasource/table/{dataset}/column/entry_mode/values/")["result"]
    assert set(offered) == {row[0] for row in trino.query("SELECT DISTINCT entry_mode FROM silver.payments_labelled")}
    assert offered


def test_a_change_made_in_superset_comes_back_as_one_file(api: Api, tmp_path: Path) -> None:
    """A description edited by hand changes its file alone, and loading the repository takes it back."""
    assets.export(api, tmp_path)
    number = next(each["id"] for each in api.each("chart/") if each["slice_name"] == "By country")
    api.put(f"chart/{number}", {"description": "Edited by hand."})
    assert assets.export(api, tmp_path) == ["charts/by_country.yaml"]
    assert "Edited by hand." in (tmp_path / "charts" / "by_country.yaml").read_text()
    assets.load(api)
    assert assets.export(api, tmp_path) == ["charts/by_country.yaml"]
    assert (tmp_path / "charts/by_country.yaml").read_text() == (assets.ASSETS / "charts/by_country.yaml").read_text()


REFUSALS = (": 403 ", "SECURITY_ACCESS_ERROR", "DML_NOT_ALLOWED_ERROR")
SEEN = {
    "business": ({"fraud-today", "pipeline-quality", "model-performance"}, set()),
    "analyst": (set(TITLES), {"silver", "gold"}),
    "auditor": (set(TITLES), {"bronze", "silver", "gold"}),
}
"""The dashboards that a role is shown, and the schemas that it may ask in SQL of its own."""


@pytest.mark.parametrize("role", SEEN)
def test_a_role_sees_what_the_file_says(role: str, superset: dict[str, str], api: Api) -> None:
    """Dashboards, a Silver dataset's data and SQL on each schema: allowed or refused as roles.yaml says."""
    dashboards, schemas = SEEN[role]
    number = next(each["id"] for each in api.each("security/roles/") if each["name"] == role)
    name, password = f"{role}-{secrets.token_hex(3)}", secrets.token_urlsafe(12)
    user = {
        "username": name,
        "first_name": "A",
        "last_name": role,
        "email": f"{name}@localhost",
        "password": password,
        "active": True,
        "roles": [number],
    }
    made = api.post("security/users/", user)["id"]
    lake = next(each["id"] for each in api.each("database/") if each["database_name"] == "lake")
    payments = next(each["id"] for each in api.each("dataset/") if each["table_name"] == "payments_labelled")
    try:
        with signed_in(superset["SUPERSET_URL"], password, name) as session:
            found = {each["slug"] for each in session.get("dashboard/")["result"]}
            assert found & set(TITLES) == dashboards
            assert allowed(session, "chart/data", _payments(payments)) == ("silver" in schemas)
            for schema, table in (("bronze", "transactions"), ("silver", "transactions"), ("gold", "days")):
                said = {
                    "database_id": lake,
                    "catalog": "delta",
                    "schema": schema,
                    "client_id": secrets.token_hex(5),
                    "sql": f"SELECT count(*) FROM {schema}.{table}",
                    "runAsync": False,
                }
                assert allowed(session, "sqllab/execute/", said) == (schema in schemas), f"{role} on {schema}"
            dropping = said | {"sql": "DROP VIEW gold.days", "client_id": secrets.token_hex(5)}
            assert not allowed(session, "sqllab/execute/", dropping)
    finally:
        # One who has asked something is kept by Superset, so that it can be said who did.
        api.put(f"security/users/{made}", {"active": False})


def allowed(session: Api, path: str, body: Any) -> bool:
    """Tell whether a POST is answered; a refusal counts, an outage does not."""
    try:
        session.post(path, body)
    except ServerError as error:
        if not any(word in str(error) for word in REFUSALS):
            raise
        return False
    return True


def test_a_wrong_password_is_refused(superset: dict[str, str], browser: Browser) -> None:
    """The page stays where it is, and the command says whose password was wrong."""
    context = browser.new_context(base_url=superset["SUPERSET_URL"], viewport=SIZE)
    page = context.new_page()
    sign_in(page, "wrong")
    expect(page).to_have_url(re.compile(r"/login/\?next="), timeout=DRAWN_MS)
    page.goto("/superset/dashboard/fraud-today/")
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible(timeout=DRAWN_MS)
    context.close()
    with pytest.raises(DeniedError, match="refused the password of admin"), signed_in(superset["SUPERSET_URL"], "no"):
        pass


def test_trino_away_is_told_and_passes(stack: Home, superset: dict[str, str], page: Page, api: Api) -> None:
    """Without Trino a chart says so and Superset answers on; with Trino back it is drawn again."""
    supervise.stop_service(stack, "trino")
    try:
        with pytest.raises(LakehouseError):
            trino.query("SELECT 1")
        page.goto("/superset/dashboard/fraud-today/?force=true")
        refused = chart(page, "Money lost today")
        expect(refused.locator("[role=alert], .ant-alert").first).to_be_visible(timeout=DRAWN_MS)
        assert why_not("superset", superset) is None
        assert len(_numbers(api)["dashboard/"]) >= len(TITLES)
    finally:
        supervise.start_service(stack, "trino")
    wait_until(lambda: why_not("catalog", superset) is None, "Trino is back", 180)
    page.goto("/superset/dashboard/fraud-today/")
    expect(chart(page, "Money lost today").locator(".header-line")).to_be_visible(timeout=DRAWN_MS)


def test_a_killed_superset_comes_back(stack: Home, superset: dict[str, str]) -> None:
    """After kill -9 of the server the supervisor starts another, with the same dashboards."""
    before = supervise.states(stack)["superset"]["pid"]
    starts = notes.read(stack, "starts-superset")["count"]
    for process in supervise.processes(stack, "superset"):
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: notes.read(stack, "starts-superset")["count"] > starts, "another start")
    wait_until(lambda: why_not("superset", superset) is None, "Superset is back", 180)
    assert supervise.states(stack)["superset"]["pid"] != before
    with signed_in(superset["SUPERSET_URL"], superset["SUPERSET_PASSWORD"]) as again:
        assert set(TITLES) <= {each["slug"] for each in again.get("dashboard/")["result"]}


def shot(page: Page, slug: str) -> None:
    """Keep a picture where DASHBOARD_PICTURES says."""
    if folder := os.environ.get("DASHBOARD_PICTURES"):
        boxes = [each.bounding_box() for each in page.locator("[data-test-chart-id]").all()]
        bottom = max(box["y"] + box["height"] for box in boxes if box)
        clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": bottom + 40}
        page.screenshot(path=Path(folder) / f"dashboard-{slug}.png", clip=clip)  # type: ignore[arg-type]


def _filled() -> bool:
    try:
        return bool(trino.query("SELECT 1 FROM gold.model_tests_weekly LIMIT 1"))
    except ServerError:
        return False


def _numbers(api: Api) -> dict[str, dict[str, int]]:
    found = {}
    for path, name in (("dashboard/", "slug"), ("chart/", "slice_name"), ("dataset/", "table_name")):
        query = "(page:0,page_size:100)"
        found[path] = {each[name]: each["id"] for each in api.get(path, q=query)["result"]}
    return found


def _payments(dataset: int) -> dict[str, Any]:
    return {
        "datasource": {"id": dataset, "type": "table"},
        "force": True,
        "result_format": "json",
        "result_type": "full",
        "queries": [{"columns": ["card_id"], "row_limit": 1}],
    }
