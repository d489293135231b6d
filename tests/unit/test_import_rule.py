"""The rooms import inward only: what each may import is the architecture, read from the top (inner) to the bottom."""

import ast
from pathlib import Path

import pytest

from settings import PROJECT_DIR

BASE = {"errors", "epoch", "settings", "commands", "currencies", "rates", "features"}
PURE = {"features", "windows", "contracts", "errors", "scoring"}
STORED = BASE | {"contracts", "clients", "scoring", "lake"}
"""What works on servers: the contracts, a client a server, the lake's tables."""
SHARED = {"serving.config", "serving.metrics", "serving.garbage", "serving.status_file"}
"""What every program of serving has."""
HTTP = {"serving.http", "serving.http.problems", "serving.principals"}
"""Requests and their answers, and who calls."""
DOOR = STORED | SHARED | {f"serving.{room}" for room in ("decide", "online", "policy", "models", "outbox", "in_use")}
"""What a door to the decision may ask; two doors have it in common, and nothing of each other."""

MAY: dict[str, set[str]] = {
    # The base: no I/O but the settings' file.
    "errors": set(),
    "epoch": set(),
    "settings": {"errors"},
    "commands": {"errors"},
    "currencies": {"epoch"},
    "rates": {"epoch", "settings", "errors"},
    "windows": {"settings", "errors"},
    "features": BASE | {"windows"},
    "contracts": BASE,
    "scoring": {"epoch", "features", "contracts", "errors"},
    # Servers and tables.
    "clients": BASE | {"contracts"},
    "lake": BASE | {"contracts", "clients"},
    "lake.parity": BASE | {"contracts", "clients", "lake"},
    "lake.audit": BASE | {"contracts", "clients", "lake"},
    "lake.__main__": BASE | {"lake", "lake.audit"},
    # Onto Kafka: a file is read and mapped without knowing who sends it.
    "ingestion": STORED,
    "ingestion.files": STORED | {"ingestion"},
    "ingestion.simulator": STORED | {"ingestion"},
    "ingestion.replay": STORED | {"ingestion", "ingestion.files"},
    "ingestion.dlq": STORED | {"ingestion"},
    "ingestion.__main__": BASE | {"ingestion.simulator", "ingestion.replay", "ingestion.dlq"},
    # From Kafka to Bronze.
    "streaming": STORED,
    # The model: learned from a dataset, measured, registered; what was decided, tried and made again.
    "ml": STORED,
    "ml.dataset": STORED | {"ml"},
    "ml.training": STORED | {"ml", "ml.dataset"},
    "ml.evaluation": STORED | {"ml", "ml.dataset", "ml.training"},
    "ml.registry": STORED | {"ml", "ml.training", "ml.evaluation"},
    "ml.backtest": STORED | {"ml", "ml.dataset", "lake.parity"},
    "ml.parity": STORED | {"ml", "lake.parity"},
    "ml.commands": STORED
    | {"ml"}
    | {f"ml.{room}" for room in ("dataset", "evaluation", "registry", "backtest", "parity")},
    "ml.__main__": BASE | {"scoring", "ml.commands", "ml.registry"},
    # The decision: pure; what is known of a payment, the rules and the models are handed to it.
    "serving.decide": PURE,
    # What the doors look up and write to: one server each, none knows another.
    "serving.config": {"settings", "errors"},
    "serving.metrics": {"scoring"},
    "serving.garbage": set(),
    "serving.status_file": {"settings", "errors"},
    "serving.online": STORED | SHARED,
    "serving.policy": STORED | SHARED,
    "serving.models": STORED | SHARED,
    "serving.outbox": STORED | SHARED,
    # What is refused over HTTP, who calls and how much they may send, and what every request passes.
    "serving.http.problems": BASE,
    "serving.principals": BASE | {"serving.config", "serving.metrics", "serving.http.problems"},
    "serving.http": BASE | {"serving.config", "serving.metrics", "serving.http.problems", "serving.principals"},
    "serving.in_use": STORED | SHARED | {"serving.decide", "serving.models", "serving.policy"},
    # The doors: HTTP, Kafka, and the desk, which judges what was decided and decides nothing.
    "serving.api": DOOR | HTTP,
    "serving.stream": DOOR,
    "serving.desk": STORED | SHARED | HTTP | {"serving.online", "serving.policy", "serving.outbox"},
    # A decision made again from its record.
    "serving.records": STORED | {"lake.parity", "serving.decide", "serving.models", "serving.policy"},
    "serving": DOOR | HTTP | {f"serving.{room}" for room in ("api", "stream", "desk", "records")},
    # The stack, and what runs the stages' commands on it.
    **dict.fromkeys(("infra", "demo", "bench"), STORED | {"infra"}),
}
"""Room to the rooms that it may import, itself apart; a file belongs to the longest name that it begins with."""

TODAY: dict[tuple[str, str], str] = {
    ("serving.config", "serving.online"): "the breaker's limits are settings, and stand with the breaker",
    ("serving.metrics", "serving.online"): "the breaker's states are a metric, and stand with the breaker",
    ("serving.online", "serving.policy"): "the commands about a card's notes know the rules' names",
}
"""What breaks the rule now, and why; a line that nothing breaks any more must go."""


def room_of(module: str) -> str | None:
    """Return the room of a dotted name; None for what is not ours."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in MAY), None)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT_DIR).with_suffix("").parts)


def files() -> list[Path]:
    tops = {room.split(".")[0] for room in MAY}
    found = [PROJECT_DIR / f"{top}.py" for top in tops] + [p for top in tops for p in (PROJECT_DIR / top).rglob("*.py")]
    return sorted(path for path in found if path.exists())


def imported(source: str) -> set[str]:
    """Return the dotted name of everything that a source imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def breaches(module: str, source: str) -> set[tuple[str, str]]:
    """Return (room, room that it imports and may not) for the source of a module."""
    room = room_of(module)
    reached = {room_of(name) for name in imported(source)} - {None, room}
    return {(room, other) for other in reached - MAY[room]}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_rooms_import_inward(path):
    """No file imports a room that its own room may not."""
    found = breaches(module_of(path), path.read_text()) - set(TODAY)
    assert not found, f"{path}: move what is shared down, or hand it in"


def test_what_breaks_the_rule_today_still_does():
    """An exception that nothing needs any more is taken out of the list."""
    found = set().union(*(breaches(module_of(path), path.read_text()) for path in files()))
    assert not set(TODAY) - found, "mended: delete these lines of TODAY"


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("ml.commands", "from serving.online import store", {"serving.online"}),
        ("scoring.model", "def f():\n    import clients.redis", {"clients"}),
        ("contracts.wire", "import lake.tables, clients", {"lake", "clients"}),
        ("bench.deciding.model", "from streaming.bronze import run", {"streaming"}),
        ("lake.tables", "from contracts import topics\nimport numpy", set()),
        (
            "serving.decide.decider",
            "from clients import redis\nfrom serving.http import problems",
            {"clients", "serving.http.problems"},
        ),
        ("serving.decide.decider", "from lake.parity import cases", {"lake.parity"}),
        ("serving.decide.decider", "from serving.decide.record import Draft\nimport windows", set()),
        ("serving.stream.scorer", "from serving.api.payload import read", {"serving.api"}),
        ("serving.stream.scorer", "from serving import http, metrics", {"serving.http"}),
        ("serving.api.app", "from serving.stream import intake", {"serving.stream"}),
        ("serving.desk.sink.row", "import serving.decide.record", {"serving.decide"}),
        ("serving.http.guard", "from serving.online import store", {"serving.online"}),
        ("serving.online.store", "from serving.policy import lists", {"serving.policy"}),
        ("serving.records.reproduce", "from serving.online import profiles", {"serving.online"}),
        ("ingestion.files.reading", "from ingestion.replay import send", {"ingestion.replay"}),
        ("ingestion.replay.send", "from ingestion.files import store", set()),
        ("ingestion.simulator.live", "from ingestion.dlq import letters", {"ingestion.dlq"}),
        ("ml.training.booster", "from ml.evaluation import experiment", {"ml.evaluation"}),
        ("lake.reading", "from lake.parity import cases", {"lake.parity"}),
    ],
)
def test_planted_breaches_are_found(module, source, found):
    """The rule sees an import anywhere in a file, in either form, between rooms of one house too."""
    assert {other for _, other in breaches(module, source)} == found


def test_every_room_is_covered():
    """A new room cannot slip past the rule: every package of the project, and of a house that is cut, has its line."""
    cut = {room.split(".")[0] for room in MAY if "." in room}
    packages = {path.parent.name for path in PROJECT_DIR.glob("*/__init__.py")} - {"tests"}
    packages |= {module_of(path.parent) for house in cut for path in (PROJECT_DIR / house).glob("*/__init__.py")}
    packages |= {path.stem for path in PROJECT_DIR.glob("*.py")}
    assert packages <= set(MAY), "add the new room to MAY"


def test_airflow_has_no_init():
    """A file airflow/__init__.py would shadow Airflow."""
    assert not (PROJECT_DIR / "airflow" / "__init__.py").exists()
