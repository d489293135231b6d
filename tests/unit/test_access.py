"""Who may call a route stands with the route: one that says nothing is found before the application starts."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI

from errors import SettingsError
from serving.http import access
from serving.http.access import ANYBODY, Allow
from serving.http.problems import ProblemError
from serving.principals.principal import Principal, Role


def app(*, forgotten: bool) -> FastAPI:
    """Return an application with routes of its own and included ones, one of which may say nothing."""
    made, inner = FastAPI(), APIRouter(prefix="/inner")

    @made.get("/open", dependencies=[Depends(ANYBODY)])
    def opened() -> None: ...

    @inner.get("/known")
    def known(who: Annotated[Principal, Depends(Allow(Role.AUDITOR, Role.OPERATOR))]) -> str:
        return who.name

    if forgotten:

        @inner.get("/forgotten")
        def said_nothing() -> None: ...

    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    made.include_router(outer)
    return made


def test_a_route_that_says_nothing_stops_the_application() -> None:
    """It is named, however deep it was included; with a rule on each only those open to anybody need no key."""
    with pytest.raises(SettingsError, match="/outer/inner/forgotten"):
        access.open_paths(app(forgotten=True))
    assert access.open_paths(app(forgotten=False)) == {"/open"} | access.DESCRIBED


def test_the_description_names_the_roles() -> None:
    """`x-roles` and 403 stand at each route that asks for a role, and at no other."""
    made = app(forgotten=False)
    access.describe(made)
    paths = made.openapi()["paths"]
    assert paths["/outer/inner/known"]["get"]["x-roles"] == ["auditor", "operator"]
    assert "403" in paths["/outer/inner/known"]["get"]["responses"]
    assert "x-roles" not in paths["/open"]["get"]


def test_a_source_is_a_principals_own_or_refused() -> None:
    """A principal of some sources has those alone; one of all has every one."""
    some = Principal("a", Role.INTEGRATOR, frozenset({"s1", "s2"}), "0" * 64, 0)
    every = Principal("b", Role.INTEGRATOR, None, "0" * 64, 0)
    for who, source in ((some, "s1"), (some, "s2"), (every, "s3")):
        access.own(who, source)
    for source in ("s3", "S1", "s1 ", ""):
        with pytest.raises(ProblemError) as refused:
            access.own(some, source)
        assert (refused.value.status, refused.value.code) == (403, "foreign_source")
    assert (some.listed, every.listed) == (["s1", "s2"], None)
