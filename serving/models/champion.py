"""Keeps the model of an alias loaded: asks MLflow every few seconds, verifies a new one, refuses a bad one."""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from clients import mlflow
from errors import DeniedError, LakehouseError, ModelError, ServerError, UnreachableError
from scoring import manifest as manifests
from scoring.model import Model, load
from serving import metrics
from serving.models.cache import Kept, newest, store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refused:
    """A champion that was not trusted: which, why, and since when."""

    version: str
    why: str
    since: datetime


class Champion:
    """The model in use. One thread watches MLflow; a request reads `model` once and keeps what it read."""

    alias = manifests.CHAMPION

    def __init__(self, cache: Path, poll_s: float) -> None:
        """Keep the last good model's files in `cache`; nothing is read or asked yet."""
        self.model: Model | None = None
        self.refused: Refused | None = None
        self.origin: str | None = None
        self.trouble: str | None = None
        self.answered = threading.Event()
        """MLflow has said who is champion, or that nobody is."""
        self._cache = cache
        self._poll_s = poll_s
        self._judged: tuple[int, str | None] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=self.alias, daemon=True)

    def start(self) -> None:
        """Load the last good model of this machine, if there is one, and begin to watch."""
        self._fall_back()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when the thread has ended or is waiting for a server."""
        self._stop.set()
        self._thread.join(timeout=1)

    def poll(self) -> None:
        """Ask once who is champion, and take it on if it is new and good."""
        try:
            version = mlflow.by_alias(manifests.REGISTERED_NAME, self.alias)
            if version is None:
                self._nobody()
                self.answered.set()
                return
            self.trouble = None
            self._consider(version)
            self.answered.set()
        except ServerError as error:
            metrics.MLFLOW_FAILURES.inc()
            if self.trouble != str(error):
                log.warning("%s: %s", self.alias, error)
            self.trouble = str(error)

    def _nobody(self) -> None:
        said = "no model version has the alias champion: train and promote one"
        if self.trouble != said:
            log.warning("champion: %s", said)
        self.trouble = said

    def _consider(self, version: mlflow.Version) -> None:
        tag = version.tags.get(manifests.SHA_TAG)
        if self._judged == (version.number, tag):
            return
        if self.model and (self.model.version, self.model.sha256) == (str(version.number), tag):
            self._judged, self.origin, self.refused = (version.number, tag), "mlflow", None
            return
        try:
            files = {name: mlflow.download(version, name) for name in (manifests.MANIFEST_FILE, *manifests.FILES)}
            model = load(str(version.number), files[manifests.MANIFEST_FILE], tag, files)
        except (UnreachableError, DeniedError):
            raise
        except ServerError as error:  # a file is missing, or MLflow stumbles: worth another try
            self._refuse(str(version.number), error)
            return
        except ModelError as error:
            self._refuse(str(version.number), error)
        else:
            self._take(model, "mlflow")
            store(self._cache, Kept(model.version, model.sha256, files))
        self._judged = (version.number, tag)

    def _take(self, model: Model, origin: str) -> None:
        self.model, self.origin, self.refused = model, origin, None  # one reference: no request sees half a model
        self._show(model)
        log.info("%s: version %s (%s) from %s", self.alias, model.version, model.sha256, origin)

    def _show(self, model: Model) -> None:
        metrics.show_model(model.version, model.sha256)

    def _refuse(self, version: str, error: LakehouseError) -> None:
        if self.refused and (self.refused.version, self.refused.why) == (version, str(error)):
            return
        metrics.MODEL_REFUSED.inc()
        self.refused = Refused(version, str(error), datetime.now(UTC))
        kept = self.model and self.model.version
        log.error("%s: version %s refused, %s stays: %s", self.alias, version, kept, error)

    def _fall_back(self) -> None:
        kept = newest(self._cache)
        if kept is None:
            return
        try:
            self._take(load(kept.version, kept.files[manifests.MANIFEST_FILE], kept.sha256, kept.files), "cache")
        except ModelError as error:
            self._refuse(kept.version, error)

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.poll()
            except Exception:  # the watcher must outlive what it watches; the next poll tries again
                log.exception("%s: polling failed", self.alias)
            self._stop.wait(self._poll_s)


class Challenger(Champion):
    """The model that scores beside the champion and decides nothing; there need not be one."""

    alias = manifests.CHALLENGER

    def _nobody(self) -> None:
        self.model = self.trouble = self._judged = None

    def _show(self, model: Model) -> None:
        """Metrics speak of the champion."""


def describe(champion: Champion) -> bytes:
    """Return what /model says: the model in use, and a champion that was refused, if any."""
    model, refused = champion.model, champion.refused
    used = (
        None
        if model is None
        else {
            "version": model.version,
            "sha256": model.sha256,
            "origin": champion.origin,
            "manifest": model.manifest.model_dump(mode="json"),
        }
    )
    no = None if refused is None else {"version": refused.version, "why": refused.why, "since": refused.since}
    return orjson.dumps({"model": used, "refused": no, "trouble": champion.trouble})
