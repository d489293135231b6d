"""Where everything lies: the checkout, the cache of servers, and the folders of one stack."""

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
INFRA = PROJECT_DIR / "infra"
FETCHING = INFRA / "native" / "fetching"


def cache_dir() -> Path:
    """Return the folder of fetched servers: LAKEHOUSE_CACHE, else the user's cache; stacks share it."""
    return Path(os.environ.get("LAKEHOUSE_CACHE") or Path.home() / ".cache" / "fraud-lakehouse").resolve()


@dataclass(frozen=True)
class Home:
    """The folders of one stack; nothing of it lies elsewhere."""

    root: Path

    @property
    def env_file(self) -> Path:
        """Addresses and secrets, KEY=VALUE, readable by its owner only."""
        return self.root / "stack.env"

    @property
    def etc(self) -> Path:
        """Configuration written at start."""
        return self.root / "etc"

    @property
    def logs(self) -> Path:
        """One log file a service."""
        return self.root / "logs"

    @property
    def status(self) -> Path:
        """What services say of themselves: what they wait for, the last refresh."""
        return self.root / "status"

    def data(self, service: str) -> Path:
        """Return the folder with a service's own data."""
        return self.root / "data" / service

    def make(self) -> None:
        """Make the folders; only the owner may look in, since secrets lie there."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for folder in (self.etc, self.logs, self.status):
            folder.mkdir(exist_ok=True)


def current_home() -> Home:
    """Return this process's stack: LAKEHOUSE_HOME, else `.lakehouse` in the checkout."""
    # Here, for a machine is looked at and the servers are fetched before there is any library that settings need.
    from settings import lakehouse_home

    return Home(lakehouse_home())


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
