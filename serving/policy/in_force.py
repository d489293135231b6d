"""Keeps the rules in force: looks at their files every second, takes good ones whole, refuses bad ones whole.

`rules.yaml` (RULES_FILE) is people's, `lists.yaml` beside it is kept by `python -m serving lists`. A change counts once
it has stood for two looks, so that a file that is being written is not read; the first time it is read at once.
"""

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from errors import InputError, LakehouseError
from scoring.rules import RuleSet
from serving import metrics
from settings import lakehouse_home, settings

log = logging.getLogger(__name__)
Signature = tuple[tuple[int, int, int] | None, ...]
LISTS = "lists.yaml"
END = "..."
"""YAML's mark of the end of a document."""
LARGEST = 32 * 1024 * 1024


@dataclass(frozen=True)
class Files:
    """The files of the rules in force."""

    rules: Path
    lists: Path

    def read(self) -> RuleSet | None:
        """Return what the files say, None if there are none; InputError if they cannot be used."""
        texts = [_text(path) for path in (self.rules, self.lists)]
        rules, lists = texts
        if rules is None:
            if lists is not None:
                raise InputError(f"{self.rules} is not there, {self.lists} is: both belong together")
            return None
        return RuleSet.read(rules, lists)

    def signature(self) -> Signature:
        """Return what changes when a file does."""
        return tuple(_stat(path) for path in (self.rules, self.lists))


def files() -> Files:
    """Return where the rules in force stand: RULES_FILE, else `rules.yaml` in LAKEHOUSE_HOME."""
    rules = Path(settings().rules_file) if settings().rules_file else lakehouse_home() / "rules.yaml"
    return Files(rules, rules.with_name(LISTS))


def archive() -> Path:
    """Return the folder that keeps every version that was ever in force here, under its SHA-256."""
    return lakehouse_home() / "rules"


class InForce:
    """The rules in use. One thread watches the files; a request reads `ruleset` once and keeps what it read."""

    def __init__(self, places: Files, poll_s: float) -> None:
        """Watch `places`; nothing is read yet."""
        self.ruleset: RuleSet | None = None
        self.refused: str | None = None
        self._files, self._poll_s = places, poll_s
        self._seen: Signature | None = None
        self._judged: Signature | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rules", daemon=True)

    @property
    def version(self) -> str | None:
        """Version of the rules in use."""
        return self.ruleset.version if self.ruleset else None

    def start(self) -> None:
        """Read the files as they stand, and begin to watch."""
        self._seen = self._files.signature()
        self.poll()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def poll(self) -> None:
        """Look at the files once, and take or refuse what is new and has stood since the last look."""
        found = self._files.signature()
        seen, self._seen = self._seen, found
        if found == self._judged or found != seen:
            return
        self._judged = found
        try:
            fresh = self._files.read()
            if fresh is None and self.ruleset is not None:
                raise InputError(f"{self._files.rules} is gone")
        except LakehouseError as error:
            self._refuse(str(error))
            return
        self.refused = None
        metrics.RULES_BAD.set(0)
        if fresh is not None and fresh.version != self.version:
            keep(fresh)
            self.ruleset = fresh  # one reference: no request sees half a version
            metrics.show_rules(fresh.version)
            log.info(
                "rules: version %s, %d rules, %d entries of lists",
                fresh.version,
                len(fresh.contents.rules),
                len(fresh.contents.lists),
            )

    def _refuse(self, why: str) -> None:
        if self.refused != why:
            metrics.RULES_REFUSED.inc()
            log.error("rules: refused, version %s stays: %s", self.version, why)
        self.refused = why
        metrics.RULES_BAD.set(1)

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.poll()
            except Exception:  # the watcher must outlive what it watches; the next look tries again
                log.exception("rules: looking at %s failed", self._files.rules)


def keep(ruleset: RuleSet) -> None:
    """Put a version into the archive; a full disk costs only that decisions under it cannot be made again here."""
    path = archive() / f"{ruleset.version}.json"
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, ruleset.canonical)
    except OSError as error:
        log.warning("rules: version %s is not archived, so its decisions cannot be made again: %s", path.stem, error)


def archived(version: str) -> RuleSet:
    """Return an archived version, verified by its SHA-256; InputError if it is not there or is another."""
    path = archive() / f"{version}.json"
    try:
        found = RuleSet.restore(path.read_bytes())
    except OSError as error:
        raise InputError(f"rules of version {version} are not archived in {path.parent}: {error}") from error
    if found.version != version:
        raise InputError(f"{path} is of version {found.version}: it was changed")
    return found


def replace(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one, whole."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST:,} bytes")
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    # Half a file can be good YAML with half the rules: its own mark of the end says that it is whole.
    if not text.rstrip().endswith(f"\n{END}"):
        raise InputError(
            f"{path} does not end with the line `{END}`, so it may be half written: `python -m serving "
            "rules publish FILE` writes it whole"
        )
    return text


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
