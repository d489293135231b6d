"""Where Trino keeps its catalog, by the setting METASTORE: files in the storage, or a Hive metastore on PostgreSQL."""

import os
from collections.abc import Mapping

from errors import LakehouseError
from infra.native.paths import INFRA, Home
from infra.native.setup import trino_access

Env = Mapping[str, str]
KINDS = ("file", "hive")
"""The files in infra/trino/metastore; the first is the default."""


def chosen(before: Env, environ: Env = os.environ) -> str:
    """Return the kind a stack is to have: what METASTORE says now, else what it had; LakehouseError: no such kind."""
    kind = environ.get("METASTORE") or before.get("METASTORE") or KINDS[0]
    if kind not in KINDS:
        raise LakehouseError(f"there is no METASTORE={kind}; it is one of {', '.join(KINDS)}")
    return kind


def services(kind: str) -> tuple[str, ...]:
    """Return the services that a catalog of this kind needs besides Trino."""
    return ("metastore",) if kind == "hive" else ()


def write(home: Home, env: Env) -> None:
    """Write Trino's catalog of the lake with the metastore it is to have."""
    parts = ("catalog/delta.properties", f"metastore/{env['METASTORE']}.properties")
    place = trino_access.folder(home) / "catalog"
    place.mkdir(parents=True, exist_ok=True)
    (place / "delta.properties").write_text("\n".join((INFRA / "trino" / part).read_text() for part in parts))
