"""What integration tests have in common beside the stack: a Redis of a module's own."""

from collections.abc import Iterator

import pytest

from tests.scorer_process import Valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """An empty Redis, running."""
    server = Valkey.at(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()
