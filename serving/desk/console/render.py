"""Pages from templates: everything is escaped, and no page runs or loads anything from elsewhere."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.desk.console.timeline import span

FOLDER = Path(__file__).parent
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
ACTIONS = {"approve": "approved", "review": "review", "step_up": "step up", "block": "blocked"}


def page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    return HTMLResponse(fragment(template, **values), status, HEADERS)


def fragment(template: str, **values: Any) -> str:
    """Return a template's text."""
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(FOLDER / "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"money": money, "age": age, "clock": clock, "card": card, "share": share, "action": ACTIONS.get}
    return made


def money(value: float | None) -> str:
    """Return an amount as people write it."""
    return "no rate" if value is None else f"{value:,.2f}" if abs(value) < 10_000 else f"{value:,.0f}"


def age(at: datetime) -> str:
    """Return how long ago that was."""
    return f"{span(max(0.0, (datetime.now(UTC) - at).total_seconds()))} ago"


def clock(at: datetime) -> str:
    """Return date and time, UTC."""
    return at.astimezone(UTC).strftime("%d %b %H:%M:%S")


def card(card_id: str) -> str:
    """Return the beginning of a card's hash, enough to know it again."""
    return f"{card_id[:4]} {card_id[4:8]}"


def share(value: float | None) -> str:
    """Return a share in per cent."""
    return "-" if value is None else f"{value:.1%}"
