"""What the driver says of itself: a line per batch in its log, and a small file for `make status`."""

import json
import logging
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger("bronze")


@dataclass
class Status:
    """The state of the driver after its last batch, of whichever flow. Counts since its start; times ISO 8601, UTC."""

    state: str = "starting"
    detail: str = ""
    batch_id: int | None = None
    batch_seconds: float | None = None
    batch_rows: int = 0
    lag: int | None = None
    """Offsets that Kafka had beyond the last batch when it was planned."""
    last_batch_at: str | None = None
    rows_in: int = 0
    good: int = 0
    letters: int = 0
    last_vacuum_at: str | None = None
    updated_at: str = field(default="")


class Board:
    """Writes the status file, whole or not at all; the driver's flows share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = Status()
        self._lags: dict[str, int] = {}
        self._lock = threading.RLock()
        try:
            self.now.last_vacuum_at = json.loads(path.read_text())["last_vacuum_at"]
        except (OSError, ValueError, KeyError):
            self.now.last_vacuum_at = None  # the first start, or a file of an older form: nothing is lost
        self.write()

    def say(self, state: str, detail: str = "") -> None:
        """Note what the driver is doing."""
        log.info("%s%s", state, f": {detail}" if detail else "")
        with self._lock:
            self.now.state, self.now.detail = state, detail
            self.write()

    def lag(self, flow: str, behind: int) -> None:
        """Note how many offsets Kafka had beyond a flow's last batch when that was planned."""
        if self._lags.get(flow) != behind:
            with self._lock:
                self._lags[flow] = behind
                self.now.lag = sum(self._lags.values())
                self.write()

    def batch(self, flow: str, batch_id: int, rows: int, good: int, letters: int, seconds: float) -> None:
        """Note a finished batch of `rows` offsets; a repeated one has fewer good and letters than that."""
        rate = rows / seconds if seconds else 0
        counts = f"{rows} in, {good} good, {letters} letters"
        log.info("%s, batch %d: %s, %.2f s, %.0f/s", flow, batch_id, counts, seconds, rate)
        with self._lock:
            now = self.now
            now.state, now.detail, now.batch_id, now.batch_rows = "running", "", batch_id, rows
            now.batch_seconds, now.last_batch_at = round(seconds, 3), _clock()
            now.rows_in, now.good, now.letters = now.rows_in + rows, now.good + good, now.letters + letters
            self.write()

    def write(self) -> None:
        """Write the file; a reader sees the old one or the new one."""
        self.now.updated_at = _clock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self.now), indent=1))
        partial.replace(self.path)


def _clock() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
