"""docker-compose.yml keeps its promises, and the check would see it break them."""

import copy

import pytest
import yaml

from infra import compose_check


@pytest.fixture
def document() -> dict:
    """The repository's own file, read."""
    return copy.deepcopy(yaml.safe_load(compose_check.FILE.read_text()))


def test_the_file_is_sound(document: dict) -> None:
    """Images are pinned, ports are on loopback, every file and name it mentions is there."""
    assert compose_check.problems(document) == []


@pytest.mark.parametrize(
    ("service", "change", "complaint"),
    [
        ("kafka", {"image": "apache/kafka:latest"}, "not pinned"),
        ("kafka", {"ports": ["9092:9092"]}, "open to other machines"),
        ("trino", {"volumes": ["./infra/trino/none.properties:/x"]}, "does not exist"),
        ("trino", {"volumes": ["lost:/x"]}, "not declared"),
        ("scorer", {"depends_on": {"nobody": {}}}, "unknown nobody"),
    ],
)
def test_a_planted_fault_is_found(document: dict, service: str, change: dict, complaint: str) -> None:
    """Each promise has a fault that breaks it, and the check names it."""
    document["services"][service] |= change
    assert any(complaint in problem for problem in compose_check.problems(document))


def test_no_secret_stands_in_it(document: dict) -> None:
    """No environment value is a password: all come from the generated file."""
    for name, service in document["services"].items():
        for variable in service.get("environment", {}):
            assert not variable.endswith(("PASSWORD", "SECRET", "KEY")), (name, variable)
