"""Pages from templates: everything is escaped, and no page runs or loads anything from elsewhere."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.desk.api.models import Payment
from serving.desk.console.timeline import span
from serving.desk.money import decimals

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
    made.filters |= {
        "money": money,
        "age": age,
        "clock": clock,
        "card": card,
        "share": share,
        "pair": pair,
        "action": ACTIONS.get,
    }
    return made


def money(value: Decimal | None) -> str:
    """Return an amount as people write it, to the last digit: it is what an investigator compares with a statement."""
    return "no rate" if value is None else f"{value:,.{decimals()}f}"


def pair(payment: Payment) -> str:
    """Return what names a payment in a form, whatever its ids have in them; `unpaired` reads it."""
    return orjson.dumps([payment.source, payment.transaction_id]).decode()


def unpaired(text: str) -> dict[str, str]:
    """Return source and transaction_id of a form's field; ValueError if it is none of ours."""
    source, transaction_id = orjson.loads(text)
    return {"source": source, "transaction_id": transaction_id}


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
