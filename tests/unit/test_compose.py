"""docker-compose.yml keeps its promises, and the check would see it break them."""

import copy
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from infra import compose_check
from settings import PROJECT_DIR


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
        ("scorer", {"build": {"context": "."}}, "built by 2 services at once"),
        ("redis", {"image": "forgotten:local"}, "built by no service"),
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


def test_the_image_of_jars_has_the_modules_that_fetch_them(tmp_path: Path) -> None:
    """The build step that fetches sees only the files copied before it; with these, `infra.native fetch` begins."""
    step = (PROJECT_DIR / "infra" / "Dockerfile").read_text().split("RUN LAKEHOUSE_CACHE")[0]
    for names in re.findall(r"^COPY (?!--)(.+) \S+$", step, re.MULTILINE):
        for name in names.split():
            copy_of = shutil.copytree if (PROJECT_DIR / name).is_dir() else shutil.copy
            copy_of(PROJECT_DIR / name, tmp_path / name)
    begin = f"import sys; sys.path += [{str(tmp_path)!r}, {sysconfig.get_path('purelib')!r}]"
    code = f"{begin}; import infra.native.__main__, infra.native.fetching.fetch"
    # -S: without this environment's own way to the project.
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_stack_in_containers_starts_with(tmp_path: Path) -> None:
    """Its first step writes the variables and the rules; what people changed in the rules is kept."""
    command, rules = [sys.executable, "-m", "infra.native", "secrets"], tmp_path / "rules.yaml"
    environment = {"LAKEHOUSE_HOME": str(tmp_path)}
    subprocess.run(command, cwd=PROJECT_DIR, env=environment, check=True)
    assert (tmp_path / "stack.env").is_file()
    assert rules.read_text() == (PROJECT_DIR / "infra" / "rules.yaml").read_text()
    rules.write_text("rules: []\n")
    subprocess.run(command, cwd=PROJECT_DIR, env=environment, check=True)
    assert rules.read_text() == "rules: []\n"
