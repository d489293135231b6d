"""Keeps the API keys in force: looks at their file every second and takes a good one whole; a damaged one is refused.

While it is refused the last good set stays in force, and nobody new signs in.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from errors import InputError
from serving import metrics
from serving.config import Config
from serving.principals import file as keyfile
from serving.principals.principal import Principal
from serving.principals.rate import Bucket

log = logging.getLogger(__name__)
Signature = tuple[int, int, int] | None
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A key in force: its principal, and how many payments and card numbers a second it may send."""

    principal: Principal
    payments: Bucket
    cards: Bucket


class KeysInForce:
    """The keys in use. One thread watches the file; a request costs a hash and a look into a dict."""

    def __init__(self, file: Path, config: Config) -> None:
        """Watch `file`; nothing is read yet."""
        self.refused: str | None = "the file of API keys has not been read yet"
        self._file, self._config = file, config
        self._accepted: dict[str, Accepted] | None = None
        self._seen: Signature = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keys", daemon=True)

    @property
    def known(self) -> bool:
        """Whether a set of keys is in force at all."""
        return self._accepted is not None

    def find(self, digest: str) -> Accepted | None:
        """Return the key with this SHA-256, None if none is in force."""
        found = self._accepted.get(digest) if self._accepted is not None else None
        return found if found is not None and found.principal.until_s > time.time() else None

    def start(self) -> None:
        """Read the file as it stands, and begin to watch."""
        self.poll()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def poll(self) -> None:
        """Look at the file once, and take or refuse what is new."""
        found = _signature(self._file)
        if found == self._seen and found is not None:
            return
        self._seen = found
        try:
            keys = keyfile.read(self._file)
        except InputError as error:
            self._refuse(str(error))
            return
        before = self._accepted or {}
        fresh = {key.sha256: self._accept(key, before) for key in keys if key.revoked_at is None}
        self._accepted = fresh  # one reference: no request sees half a set
        self.refused = None
        metrics.KEYS_BAD.set(0)
        log.info("keys: %d in force, %d in the file", len(fresh), len(keys))

    def _accept(self, key: keyfile.Key, before: dict[str, Accepted]) -> Accepted:
        old, config = before.get(key.sha256), self._config
        payments = old.payments if old else Bucket(config.rate_per_s, config.burst)
        cards = old.cards if old else Bucket(config.tokens_per_s, config.tokens_burst, "card numbers")
        return Accepted(key.principal(), payments, cards)

    def _refuse(self, why: str) -> None:
        if self.refused != why:
            log.error("keys: refused, %s: %s", "the last good ones stay" if self.known else "none is in force", why)
        self.refused = why
        metrics.KEYS_BAD.set(1)

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            try:
                self.poll()
            except Exception:  # the watcher must outlive what it watches; the next look tries again
                log.exception("keys: looking at %s failed", self._file)


def _signature(file: Path) -> Signature:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
