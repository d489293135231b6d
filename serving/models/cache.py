"""The last good model on this machine's disk, so that a scorer starts while MLflow is away."""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

log = logging.getLogger(__name__)
POINTER = "champion.json"


@dataclass(frozen=True)
class Kept:
    """A model's files under their names, with its version and its manifest's SHA-256."""

    version: str
    sha256: str
    files: Mapping[str, bytes]


def store(folder: Path, kept: Kept) -> None:
    """Put a model into `folder` and point at it; readers see the old one or the new one, whole.

    A full or read-only disk costs only the cache: it is logged, and serving goes on.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        home = folder / kept.sha256
        if not home.is_dir():
            fresh = Path(tempfile.mkdtemp(dir=folder))
            for name, content in kept.files.items():
                (fresh / name).write_bytes(content)
            fresh.rename(home)
        pointer = folder / f"{POINTER}.{kept.sha256}"
        pointer.write_bytes(orjson.dumps({"version": kept.version, "sha256": kept.sha256}))
        pointer.replace(folder / POINTER)
        for other in folder.iterdir():
            if other.is_dir() and other != home:
                shutil.rmtree(other, ignore_errors=True)
    except OSError as error:
        log.warning("model cache %s: %s", folder, error)


def newest(folder: Path) -> Kept | None:
    """Return the model pointed at, not yet verified; None if there is none that can be read."""
    try:
        pointer = orjson.loads((folder / POINTER).read_bytes())
        home = folder / str(pointer["sha256"])
        files = {path.name: path.read_bytes() for path in home.iterdir()}
        return Kept(str(pointer["version"]), str(pointer["sha256"]), files) if files else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("model cache %s cannot be read: %s", folder, error)
        return None
