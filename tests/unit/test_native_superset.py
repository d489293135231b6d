"""Superset in the native stack: started only when asked for, its own lock, its connection made from variables."""

import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from errors import LakehouseError
from infra.native import stack
from infra.native.fetching import servers
from infra.superset import server
from settings import PROJECT_DIR


def names(*arguments: Any) -> list[str]:
    """Return what `up` would start."""
    return [service.name for service in stack._choose(*arguments)]


def test_it_starts_only_when_asked_for() -> None:
    """Without a name everything else starts; asked for it comes besides, or alone."""
    assert "superset" not in names((), ())
    assert names((), ("superset",)) == [*names((), ()), "superset"]
    assert names(("superset",), ()) == ["superset"]
    with pytest.raises(LakehouseError, match="no service superser"):
        names((), ("superser",))


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("up", "superset"), True),
        (("up", "S=superset"), True),
        (("superset",), True),
        (("up",), False),
        (("up", "S=kafka"), False),
    ],
)
def test_make_passes_it_on(words: tuple[str, ...], asked: bool) -> None:
    """`make up superset` means one start with Superset, in so many words."""
    done = subprocess.run(["make", "-n", *words], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    starts = [line for line in done.stdout.splitlines() if "infra.native up" in line]
    assert len(starts) == 1
    assert ("--with superset" in starts[0]) == asked


def test_its_lock_names_no_host_and_checks_everything() -> None:
    """Every package has its hashes; where it comes from is the machine's business."""
    text = servers.SUPERSET.lock.read_text()
    assert "http" not in text
    assert "--index" not in text
    packages = [line for line in text.splitlines() if line[:1].isalpha()]
    assert any(line.startswith("apache-superset==6.1.0") for line in packages)
    assert all(line.endswith("\\") for line in packages)


class Address:
    """As much of SQLAlchemy's URL as the configuration touches."""

    def __init__(self, drivername: str, **parts: Any) -> None:
        """Keep the parts."""
        self.drivername, self.parts = drivername, parts

    def set(self, **parts: Any) -> "Address":
        """Return another with these parts."""
        return Address(self.drivername, **self.parts | parts)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Superset's configuration, as read on a stack."""

    def read(**more: str) -> dict[str, Any]:
        env = {
            "SUPERSET_SECRET_KEY": "s",
            "SUPERSET_DATABASE_URL": "postgresql://x",
            "TRINO_HOST": "127.0.0.1",
            "TRINO_PORT": "8123",
            "TRINO_USER": "superset",
            "TRINO_PASSWORD": "secret",
            "TRINO_CA": "/ca.pem",
            **more,
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(server.INSIDE / "superset_config.py"))

    return read


def test_the_connection_is_filled_in_when_it_is_made(configured: Any) -> None:
    """Address, user and password come from variables, and the server's certificate is verified by the stack's own."""
    mutator = configured()["DB_CONNECTION_MUTATOR"]
    address, params = mutator(Address("trino", host="lake"), {"connect_args": {"kept": 1}}, None, None, None)
    assert address.parts == {"host": "127.0.0.1", "port": 8123, "username": "superset", "password": "secret"}
    assert params["connect_args"] | {"http_scheme": "https", "verify": "/ca.pem", "kept": 1} == params["connect_args"]
    other = Address("postgresql", host="elsewhere")
    assert mutator(other, {}, None, None, None) == (other, {})


def test_the_configuration_holds_no_secret() -> None:
    """What stands in the repository refuses to be read without the stack's own secrets."""
    with pytest.raises(KeyError):
        runpy.run_path(str(Path(server.INSIDE) / "superset_config.py"))
