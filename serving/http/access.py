"""Who may call a route: the rule is declared with it, and an application with a route without one does not start.

A rule is a dependency: `dependencies=[Depends(Allow(Role.OPERATOR))]`, or a parameter of type
`Annotated[Principal, Depends(Allow(...))]` where the handler needs to know who it is.
"""

from collections.abc import Iterator

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from errors import SettingsError
from serving.http.problems import ProblemError
from serving.principals.in_force import Accepted
from serving.principals.principal import Principal, Role

DESCRIBED = frozenset({"/openapi.json"})
"""FastAPI's own route, which describes the interface; anybody may read it."""


class Rule:
    """What a route asks of its caller."""


class Anybody(Rule):
    """Lets everybody in: no key is asked for."""

    def __call__(self) -> None:
        """Ask for nothing."""


class Allow(Rule):
    """Lets principals of some roles in."""

    def __init__(self, *roles: Role) -> None:
        """Let `roles` in."""
        self.roles = frozenset(roles)

    def __call__(self, request: Request) -> Principal:
        """Return who calls; ProblemError 403 if that is none of the roles."""
        principal: Principal = request.scope["principal"]
        self.check(principal)
        return principal

    def check(self, principal: Principal) -> None:
        """Raise ProblemError 403 unless the principal has one of the roles."""
        if principal.role not in self.roles:
            wanted = " or ".join(sorted(self.roles))
            raise ProblemError(403, "forbidden", f"this needs a key of role {wanted}; yours is {principal.role}")


ANYBODY = Anybody()
EVERY_ROLE = Allow(*Role)


def accepted(request: Request) -> Accepted:
    """Return the key that asks, with its rates, for FastAPI's Depends."""
    found: Accepted = request.scope["accepted"]
    return found


def own(principal: Principal, source: str) -> None:
    """Raise ProblemError 403 unless payments of `source` are the principal's business."""
    if not principal.sees(source):
        reason = "source is not one of this key's sources"
        wrong = [{"field": "source", "code": "foreign_source", "reason": reason}]
        raise ProblemError(403, "foreign_source", reason, wrong)


def rules(app: FastAPI) -> Iterator[tuple[RouteContext, Rule | None]]:
    """Yield each route that the application declares, with its rule; None where none was declared."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            calls: Iterator[object] = (each.call for each in _within(route.dependant))
            yield route, next((call for call in calls if isinstance(call, Rule)), None)


def open_paths(app: FastAPI) -> frozenset[str]:
    """Return the paths that need no key; SettingsError if a route says nothing of who may call it."""
    found = set(DESCRIBED)
    for route, declared in rules(app):
        if declared is None:
            raise SettingsError(f"{route.path} has no rule of who may call it: declare Allow(...) with the route")
        if isinstance(declared, Anybody):
            found.add(str(route.path))
    return frozenset(found)


def describe(app: FastAPI) -> None:
    """Write into the OpenAPI description which roles each route takes, and its 403."""
    page = app.openapi()  # made once and kept
    for route, declared in rules(app):
        if route.include_in_schema and isinstance(declared, Allow):
            for method in route.methods or ():
                operation = page["paths"][route.path_format][method.lower()]
                operation["x-roles"] = sorted(declared.roles)
                refused = {"description": f"the key's role is not {' or '.join(sorted(declared.roles))}"}
                refused = operation["responses"].get("401", {}) | refused
                operation["responses"] = dict(sorted({**operation["responses"], "403": refused}.items()))


def _within(dependant: Dependant) -> Iterator[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from _within(each)
