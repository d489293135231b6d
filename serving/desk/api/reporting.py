"""HTTP: counts of decisions, counts over time, how the pipeline is, and what is wrong with it now."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serving.desk.api import statistics
from serving.desk.api.models import Health, Point, Series, Summary, Troubles
from serving.desk.api.pages import HEALTH, SERIES, SUMMARY, TROUBLES, answers
from serving.desk.context import Desk, desk
from serving.desk.health import troubles
from serving.http.access import Allow
from serving.http.problems import ProblemError
from serving.principals.principal import Principal, Role
from settings import definitions

router = APIRouter()
At = Annotated[Desk, Depends(desk)]
Reader = Annotated[Principal, Depends(Allow(Role.INTEGRATOR, Role.INVESTIGATOR, Role.AUDITOR))]
WATCHES = [Depends(Allow(Role.INVESTIGATOR, Role.AUDITOR, Role.OPERATOR))]
Hours = Annotated[float, Query(gt=0, le=24 * 31, description="how far back, by the time of the decision")]
MOST_POINTS = 2_000


@router.get("/stats/summary", tags=["stats"], summary="Counts of the last hours", **answers(SUMMARY, 422, 503))
async def summary(at: At, who: Reader, hours: Hours = 24) -> Summary:
    """Counted from the minute in which these hours begin."""
    async with at.history.connection("counting decisions") as connection:
        found = await statistics.summary(connection, hours, who.listed)
    return Summary(hours=hours, currency=definitions().reporting_currency, **found)


@router.get("/stats/timeseries", tags=["stats"], summary="Counts over time", **answers(SERIES, 422, 503))
async def timeseries(
    at: At, who: Reader, hours: Hours = 24, bucket_s: Annotated[int, Query(ge=60, le=86_400, multiple_of=60)] = 900
) -> Series:
    """Spans begin at multiples of `bucket_s` since 1970; the last one is not over yet."""
    if hours * 3_600 / bucket_s > MOST_POINTS:
        reason = f"more than {MOST_POINTS} points: ask for fewer hours or longer spans"
        wrong = [{"field": "bucket_s", "code": "out_of_range", "reason": reason}]
        raise ProblemError(422, "out_of_range", reason, wrong)
    async with at.history.connection("counting decisions over time") as connection:
        found = await statistics.series(connection, hours, bucket_s, who.listed)
    return Series(hours=hours, bucket_s=bucket_s, points=[Point(**row) for row in found])


@router.get(
    "/pipeline/health",
    tags=["pipeline"],
    summary="What of the pipeline answers",
    dependencies=WATCHES,
    **answers(HEALTH),
)
async def health(at: At) -> Health:
    """Each part is really asked. The answer is 200 also when parts are not well."""
    return await at.pipeline.health()


@router.get(
    "/pipeline/alerts",
    tags=["pipeline"],
    summary="What is wrong now, and what to do",
    dependencies=WATCHES,
    **answers(TROUBLES),
)
async def found_wrong(at: At) -> Troubles:
    """Read off the health of the parts; nothing is kept."""
    found = await at.pipeline.health()
    return Troubles(at=found.at, troubles=troubles.troubles(found.components))
