"""Brings Superset's roles, and which dashboard each is shown, to what roles.yaml says; repeating changes nothing."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from errors import InputError, ServerError
from infra.superset.api import Api

FILE = Path(__file__).parent / "roles.yaml"
CATALOG = "[lake].[delta]"
"""As Superset names the connection and its catalog in permissions."""
EVERYTHING = {("all_database_access", "all_database_access"), ("all_datasource_access", "all_datasource_access")}
Permission = tuple[str, str]
"""A verb and what it is about."""


class Role(BaseModel):
    """One role: what it may do, as Superset's own roles, and what it sees of the lake."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    like: tuple[str, ...]
    without: frozenset[str] = frozenset()
    sees: tuple[str, ...] | Literal["all"]


class Roles(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    roles: dict[str, Role]
    dashboards: dict[str, tuple[str, ...]]


def read(file: Path = FILE) -> Roles:
    """Return what the file says; InputError when it is not YAML or says something else."""
    try:
        found = Roles.model_validate(yaml.safe_load(file.read_text()))
    except (yaml.YAMLError, ValidationError) as error:
        raise InputError(f"{file}: {error}") from error
    named = {name for names in found.dashboards.values() for name in names}
    if unknown := named - found.roles.keys():
        raise InputError(f"{file}: a dashboard is shown to {', '.join(sorted(unknown))}, which is not among the roles")
    return found


def apply(api: Api, wanted: Roles) -> list[str]:
    """Make the roles and their rights; returns the names of roles and dashboards that were not so before."""
    numbers = {_name(each): int(each["id"]) for each in api.each("security/permissions-resources/", order="id")}
    known = {each["name"]: int(each["id"]) for each in api.each("security/roles/", order="id")}
    changed = []
    for name, role in wanted.roles.items():
        if name not in known:
            known[name] = int(api.post("security/roles/", {"name": name})["id"])
        permissions = _permissions(api, known, role)
        if lacking := permissions - numbers.keys():
            raise ServerError(
                f"superset knows no permission {sorted(lacking)}: can it read the catalog of Trino? "
                "`make up superset` again when Trino is up"
            )
        ids = {numbers[each] for each in permissions}
        if ids != {int(each["id"]) for each in api.get(f"security/roles/{known[name]}/permissions/")["result"]}:
            api.post(f"security/roles/{known[name]}/permissions", {"permission_view_menu_ids": sorted(ids)})
            changed.append(name)
    return changed + _shown(api, wanted, known)


def _permissions(api: Api, known: dict[str, int], role: Role) -> set[Permission]:
    found: set[Permission] = set()
    for name in role.like:
        for each in api.get(f"security/roles/{known[name]}/permissions/")["result"]:
            if each["permission_name"] not in role.without:
                found.add((each["permission_name"], each["view_menu_name"]))
    if role.sees == "all":
        return found | EVERYTHING
    return found | {("schema_access", f"{CATALOG}.[{schema}]") for schema in role.sees}


def _shown(api: Api, wanted: Roles, known: dict[str, int]) -> list[str]:
    changed = []
    for slug, names in wanted.dashboards.items():
        there = api.get(f"dashboard/{slug}")["result"]
        ids = {known[name] for name in names}
        if ids != {int(each["id"]) for each in there["roles"]}:
            api.put(f"dashboard/{there['id']}", {"roles": sorted(ids)})
            changed.append(slug)
    return changed


def _name(each: dict[str, Any]) -> Permission:
    return each["permission"]["name"], each["view_menu"]["name"]
