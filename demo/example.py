"""One decision, asked for as an integrator would: a payment unlike anything its card did before."""

import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from clients import api, trino
from demo.run import StepError, step
from settings import settings

USUAL = """
    SELECT f.card_id, f.card_avg_amount_30d, f.as_of_day, max(t.currency)
    FROM gold.card_features_daily AS f
    INNER JOIN silver.transactions AS t ON f.card_id = t.card_id
    WHERE f.as_of_day = (SELECT max(as_of_day) FROM gold.card_features_daily) AND f.card_tx_count_30d >= 20
    GROUP BY f.card_id, f.card_avg_amount_30d, f.as_of_day
    ORDER BY f.card_id LIMIT 1
"""
NEWEST = "SELECT max(event_time) FROM silver.transactions"
ANSWERED = "SELECT count(*) FROM bronze.decisions WHERE origin = 'api'"


def decide() -> dict[str, Any]:
    """Ask `/predict` about a payment fifteen times the card's average, and why; return the question and the answer.

    It asks for reasons whatever is decided: a model of a small history may well let this payment pass. Its time is the
    platform's newest event, so a replayed file of another year works too.
    """
    rows = trino.query(USUAL)
    if not rows:
        raise StepError("no card has 20 payments in 30 days; give the tour more history (--days, --cards)")
    card_id, usual, _, currency = rows[0]
    payment = {
        "source": "demo",
        "transaction_id": uuid.uuid4().hex[:20],
        "event_time": trino.query(NEWEST)[0][0].isoformat(),
        "card_id": card_id,
        "amount": f"{max(1.0, usual) * 15:.2f}",
        "currency": currency,
        "merchant_id": "never-seen-before",
        "mcc": "6051",
        "merchant_country": "BR",
        "card_country": "US",
        "entry_mode": "ecommerce",
        "authentication": "none",
        "explain": True,
    }
    headers = {"X-API-Key": settings().api_key.get_secret_value()}
    started = time.perf_counter()
    asked = httpx.post(f"{settings().api_url}/predict", json=payment, headers=headers, timeout=10, verify=api.trust())
    if not asked.is_success:
        raise StepError(f"/predict answered {asked.status_code}: {asked.text[:500]}")
    milliseconds = (time.perf_counter() - started) * 1000
    return {"payment": payment, "usual_amount": usual, "answer": asked.json(), "milliseconds": milliseconds}


def reproduced(decision: dict[str, Any]) -> dict[str, Any]:
    """Make the decision again from its record in Bronze; return whether it is identical, and how many were answered."""
    payment = decision["payment"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reproduced.json"
        named = (payment["transaction_id"], "--source", payment["source"])
        step("Make that decision again from its record", "serving", "reproduce", *named, "--json", str(file))
        (found,) = json.loads(file.read_text())
    answered = trino.query(ANSWERED)[0][0]
    return {"identical": found["identical"], "decision_id": found["decision_id"], "answered": answered}
