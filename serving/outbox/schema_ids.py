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
FIRST_ANSWER_S = 6.0
"""How long a start waits for the registry's first answer, or for its time-out: nothing can be recorded before."""


class SchemaIds:
    """Ids of the schemas of some topics; one thread asks until the registry has said them."""

    def __init__(self, topics: Sequence[Topic], file: Path) -> None:
        """Ask nothing yet; `file` keeps what was said, for the schemas that it was said of."""
        self.known: Mapping[str, int] | None = None
        """Topic's name to schema id; None as long as neither the registry nor the file knows them."""
        self.trouble: str | None = None
        self._topics, self._file = topics, file
        self._stop = threading.Event()
        self._asked = threading.Event()

    def start(self) -> None:
        """Begin to ask, and wait for the first answer; the file counts once there was none.

        The registry comes first, since it may have been made anew.
        """
        threading.Thread(target=self._ask, name="schema ids", daemon=True).start()
        self._asked.wait(FIRST_ANSWER_S)

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
                self.known = self.known or kept(self._file, self._topics)
                self._asked.set()
                self._stop.wait(AGAIN_S)
                continue
            self.trouble = None
            self._asked.set()
            keep(self._file, self._topics, self.known)
            return


def kept(file: Path, topics: Sequence[Topic]) -> Mapping[str, int] | None:
    """Return the ids of our schemas in `file`, by topic; None if it has none of just these schemas."""
    try:
        found = json.loads(file.read_text())
        ids = {topic.name: found[topic.name]["id"] for topic in topics}
        return ids if all(found[topic.name]["schema"] == text(topic) for topic in topics) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("schema ids: %s cannot be read and is asked for anew: %r", file, error)
        return None


def keep(file: Path, topics: Sequence[Topic], ids: Mapping[str, int]) -> None:
    """Write ids for later starts; a disk that refuses costs only those."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".partial")
        fresh.write_text(json.dumps({t.name: {"id": ids[t.name], "schema": text(t)} for t in topics}))
        fresh.replace(file)
    except OSError as error:
        log.warning("schema ids: %s: %s", file, error)


def text(topic: Topic) -> str:
    """Return our schema of a topic."""
    return schemas.text(str(topic.schema))
