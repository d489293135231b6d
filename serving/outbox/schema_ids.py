"""The registry's ids of our schemas, asked at start and kept on disk, for starts while the registry is away."""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from clients import registry
from contracts import schemas
from contracts.topics import Topic
from errors import ServerError

log = logging.getLogger(__name__)
AGAIN_S = 2.0


class SchemaIds:
    """Ids of the schemas of some topics; one thread asks until the registry has said them."""

    def __init__(self, topics: Sequence[Topic], file: Path) -> None:
        """Ask nothing yet; `file` keeps what was said, for the schemas that it was said of."""
        self.known: Mapping[str, int] | None = None
        """Topic's name to schema id; None as long as neither the registry nor the file knows them."""
        self.trouble: str | None = None
        self._topics, self._file = topics, file
        self._stop = threading.Event()

    def start(self) -> None:
        """Take what the file has, and ask the registry beside."""
        self.known = self._kept()
        threading.Thread(target=self._ask, name="schema ids", daemon=True).start()

    def stop(self) -> None:
        """Stop asking."""
        self._stop.set()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self.known = {topic.name: registry.schema_id(topic) for topic in self._topics}
            except ServerError as error:
                if self.trouble is None:
                    log.warning("schema ids: %s", error)
                self.trouble = str(error)
                self._stop.wait(AGAIN_S)
                continue
            self.trouble = None
            self._keep(self.known)
            return

    def _texts(self) -> dict[str, str]:
        return {topic.name: schemas.text(str(topic.schema)) for topic in self._topics}

    def _kept(self) -> Mapping[str, int] | None:
        try:
            kept = json.loads(self._file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("schema ids: %s cannot be read and is asked for anew: %s", self._file, error)
            return None
        return kept["ids"] if kept.get("schemas") == self._texts() else None

    def _keep(self, ids: Mapping[str, int]) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".partial")
            fresh.write_text(json.dumps({"ids": ids, "schemas": self._texts()}))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("schema ids: %s: %s", self._file, error)
