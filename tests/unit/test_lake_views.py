"""The views that `lake register` makes again are those of the dbt project, with the tables that they read."""

import re
from pathlib import Path

from lake import tables
from settings import PROJECT_DIR

MODELS = {path.stem: path for path in (PROJECT_DIR / "dbt_project" / "models").rglob("*.sql")}
VIEWS = {name: path for name, path in MODELS.items() if "materialized='view'" in path.read_text()}


def reads(model: Path) -> set[str]:
    """Return the tables that a view reads, through other views."""
    found: set[str] = set()
    for name in re.findall(r"ref\('(\w+)'\)", model.read_text()):
        found |= reads(VIEWS[name]) if name in VIEWS else {name}
    return found


def test_every_view_of_dbt_is_made_again() -> None:
    """A view that stands in dbt and not in the list would be gone after the catalog was lost."""
    assert {name for _, name in tables.VIEWS} == VIEWS.keys()
    for (_, name), needed in tables.VIEWS.items():
        assert {table.name for table in needed} == reads(VIEWS[name]), name
