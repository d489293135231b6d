"""HTTP: decided payments, whether they raised an alert or not: found by what is known of them, and labelled."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serving.desk.api.models import Disposed, Disposition, Payment, PaymentPage
from serving.desk.api.pages import BODIES, DISPOSED, PAYMENTS, answers
from serving.desk.api.routes import Judge, Named, Reader, Source, with_source
from serving.desk.api.search import Search, search
from serving.desk.context import Desk, desk
from serving.desk.verdicts.dispose import label
from settings import definitions

router = APIRouter(prefix="/payments", tags=["payments"])
At = Annotated[Desk, Depends(desk)]


@router.get("", summary="Payments by what is known of them", **answers(PAYMENTS, 422, 503))
async def find(at: At, who: Reader, asked: Annotated[Search, Query()]) -> PaymentPage:
    """Newest first. Without card, id or acceptor those of the last day, or of a time of at most 7 days."""
    async with at.history.connection("searching payments") as connection:
        rows, after = await search(connection, asked, datetime.now(UTC), who.listed)
    return PaymentPage(
        currency=definitions().reporting_currency, payments=[Payment(**row) for row in rows], next_cursor=after
    )


@router.post(
    "/disposition",
    summary="Say what a payment was, in an alert or not",
    **answers(DISPOSED, 404, 409, 413, 422, 503, bodies=BODIES),
)
async def dispose(at: At, who: Judge, transaction_id: Named, said: Disposition, source: Source = None) -> Disposed:
    """A fraud that nobody suspected becomes a label like any other. Without an alert, `whole` is that payment alone."""
    return await label(at.history, at.sender, transaction_id, with_source(said, source), who)
