"""The rooms import inward only, as the design draws them."""

import ast
from pathlib import Path

import pytest

from settings import PROJECT_DIR

BASE = {"features", "currencies", "rates", "settings", "errors", "commands"}
MAY: dict[str, set[str]] = {
    "errors": set(),
    "settings": {"errors"},
    "commands": {"errors"},
    "currencies": set(),
    "rates": {"settings", "errors"},
    "windows": {"settings", "errors"},
    "features": BASE | {"windows"},
    "contracts": BASE,
    "scoring": {"features", "contracts", "errors"},
    "clients": BASE | {"contracts"},
    "lake": BASE | {"contracts", "clients"},
    **dict.fromkeys(("ingestion", "streaming", "ml", "serving"), BASE | {"contracts", "clients", "lake", "scoring"}),
    **dict.fromkeys(("demo", "bench", "infra"), BASE | {"contracts", "clients", "lake", "scoring", "infra"}),
}
"""Room to the rooms that it may import, itself apart."""


def files() -> list[Path]:
    found = [PROJECT_DIR / f"{name}.py" for name in sorted(BASE | {"windows"}) if (PROJECT_DIR / f"{name}.py").exists()]
    for room in MAY:
        found += sorted((PROJECT_DIR / room).rglob("*.py")) if (PROJECT_DIR / room).is_dir() else []
    return found


def imported(source: str) -> set[str]:
    """Return the first part of every module that a source imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def breaches(room: str, source: str) -> set[str]:
    """Return the rooms that a file of `room` imports and may not."""
    return (imported(source) & (set(MAY) | BASE)) - MAY[room] - {room}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_rooms_import_inward(path):
    """No file imports a room that its own room may not."""
    room = path.relative_to(PROJECT_DIR).parts[0].removesuffix(".py")
    assert not breaches(room, path.read_text()), f"{path} must not import these; move what is shared down"


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("ml", "from serving import store", {"serving"}),
        ("scoring", "def f():\n    import clients.redis", {"clients"}),
        ("contracts", "import lake.tables, clients", {"lake", "clients"}),
        ("bench", "from streaming.bronze import run", {"streaming"}),
        ("lake", "from contracts import topics\nimport numpy", set()),
    ],
)
def test_planted_breaches_are_found(room, source, found):
    """The rule sees an import anywhere in a file, in either form, and lets the others be."""
    assert breaches(room, source) == found


def test_every_room_is_covered():
    """A new room cannot slip past the rule: every package of the project has its line."""
    packages = {path.parent.name for path in PROJECT_DIR.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(MAY), "add the new room to MAY"


def test_airflow_has_no_init():
    """A file airflow/__init__.py would shadow Airflow."""
    assert not (PROJECT_DIR / "airflow" / "__init__.py").exists()
