"""What a long-running process says of itself, in a small file for `make status`."""

import json
import os
import time
from collections.abc import Mapping
from logging import Logger
from pathlib import Path
from typing import Any


def write(file: Path, status: Mapping[str, Any], log: Logger) -> None:
    """Replace `file` by `status` and the time, whole or not at all; a full disk is logged, for it must stop nothing."""
    fresh = file.with_suffix(f".{os.getpid()}")
    try:
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({**status, "updated_at": time.time()}))
        fresh.replace(file)
    except OSError as error:
        log.warning("status %s: %s", file, error)
