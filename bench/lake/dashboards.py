"""How long a dashboard takes: from the click to every chart drawn, and each chart's query by itself; nothing cached."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import stack
from bench.figures import Figure, Section, at_most
from clients import trino
from errors import InputError, ServerError
from infra.native.machine.programs import browser
from infra.superset import assets, roles
from infra.superset.api import Api, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
SIZE = {"width": 1440, "height": 1700}
DRAWN_S = 120.0
PAINT_S, QUERY_S = 4.0, 1.5
DRAWN = "[data-test-chart-id]:has(canvas, .header-line, tbody td)"
"""A chart that shows its data."""
Query = tuple[str, dict[str, Any]]


def measure(runs: int = 5, rounds: int = 20) -> Section:
    """Open each dashboard `runs` times after a first one, then ask each chart's query `rounds` times, one by one."""
    program = browser()
    if program is None:
        raise InputError("no Chromium to open the dashboards in; `make doctor` says how to install it")
    payments = int(trino.query("SELECT count(*) FROM silver.transactions")[0][0])
    note = f"{payments:,} payments"
    figures = []
    with _superset() as (url, password), signed_in(url, password) as api, _page(program, url, password) as page:
        for slug in roles.read().dashboards:
            queries: dict[str, Query] = {}
            first, complete = [], []
            for number in range(runs + 1):
                shown, drawn = _open(page, slug, queries)
                if number:
                    first.append(shown)
                    complete.append(drawn)
            figures.append(Figure(f"{slug}: first chart with data", "s", first, at_most(PAINT_S), note))
            figures.append(Figure(f"{slug}: every chart drawn", "s", complete))
            slowest, name = max(_asked(api, queries, rounds))
            about = f"of {len(queries)} charts, each alone, {rounds} times; the slowest: {name}"
            figures.append(Figure(f"{slug}: p95 of the slowest query", "s", [slowest], at_most(QUERY_S), about))
    return Section("Dashboards", figures)


def _open(page: "Page", slug: str, queries: dict[str, Query]) -> tuple[float, float]:
    """Return the seconds to the first chart with data and to all; keep what each chart asked by its name."""

    def note(request: Any) -> None:
        if request.method == "POST" and "/api/v1/chart/data" in request.url and request.post_data:
            body = json.loads(request.post_data)
            number = (body.get("form_data") or {}).get("slice_id")
            if number:
                queries[str(number)] = ("chart/data", body | {"force": True})

    page.on("request", note)
    charts = _charts(slug)
    began = perf_counter()
    page.goto(f"/superset/dashboard/{slug}/?force=true")
    page.locator(DRAWN).first.wait_for(timeout=DRAWN_S * 1e3)
    shown = perf_counter() - began
    while page.locator(DRAWN).count() < charts:
        if perf_counter() - began > DRAWN_S:
            raise ServerError(f"{slug}: not every chart was drawn in {DRAWN_S:.0f} s; open it in a browser")
        time.sleep(0.02)
    drawn = perf_counter() - began
    page.remove_listener("request", note)
    return shown, drawn


def _charts(slug: str) -> int:
    boards = [content for path, content in assets.read(assets.ASSETS).items() if path.startswith("dashboards/")]
    return len(assets.placed(next(each for each in boards if each["slug"] == slug)))


def _asked(api: Api, queries: dict[str, Query], rounds: int) -> Iterator[tuple[float, str]]:
    names = {str(each["id"]): str(each["slice_name"]) for each in api.each("chart/")}
    for number, (path, body) in queries.items():
        times = []
        for _ in range(rounds):
            began = perf_counter()
            api.post(path, body)
            times.append(perf_counter() - began)
        yield float(np.percentile(times, 95)), names[number]


@contextmanager
def _superset() -> Iterator[tuple[str, str]]:
    """Have Superset run meanwhile; yield its address and password."""
    known = "SUPERSET_URL" in stack.variables()
    running = known and _is_ready()
    stack.run("infra.native", "up", "--only", "superset")
    variables = stack.variables()
    try:
        yield variables["SUPERSET_URL"], variables["SUPERSET_PASSWORD"]
    finally:
        if not running:
            stack.run("infra.native", "stop", "superset")


def _is_ready() -> bool:
    try:
        stack.run("infra.native", "ready", "superset")
    except ServerError:
        return False
    return True


@contextmanager
def _page(program: str, url: str, password: str) -> Iterator["Page"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = opened.new_context(base_url=url, viewport=SIZE).new_page()  # type: ignore[arg-type]
        page.goto("/login/")
        page.locator("#username").fill("admin")
        page.locator("#password").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda place: "/login" not in place, timeout=DRAWN_S * 1e3)
        try:
            yield page
        finally:
            opened.close()
