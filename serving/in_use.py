"""What decides in this process: champion, challenger and rules, each watched for its successor."""

from concurrent.futures import ThreadPoolExecutor

from serving.config import config
from serving.decide.decision import InUse
from serving.models.champion import Challenger, Champion
from serving.policy import in_force
from settings import lakehouse_home


class Watched:
    """The models and rules of one process, `name`; one thread each watches for a successor."""

    def __init__(self, name: str) -> None:
        """Watch nothing yet; the last good models are kept on disk under the process's name."""
        caches = lakehouse_home() / "cache"
        self.champion = Champion(caches / name, config().poll_s)
        self.challenger = Challenger(caches / f"{name}-challenger", config().poll_s)
        self.rules = in_force.InForce(in_force.files(), config().rules_poll_s)
        self.beside = ThreadPoolExecutor(1, "score")
        """Scores long batches beside the caller."""

    def start(self, wait_s: float = 0.0) -> None:
        """Load what this machine has, begin to watch, and wait up to `wait_s` seconds for a first model."""
        self.rules.start()
        self.champion.start()
        self.challenger.start()
        if wait_s and self.champion.model is None:
            self.champion.answered.wait(wait_s)

    def stop(self) -> None:
        """Stop watching."""
        self.champion.stop()
        self.challenger.stop()
        self.rules.stop()
        self.beside.shutdown()

    @property
    def now(self) -> InUse:
        """Return what decides now: each part is read once, so that no batch sees half a change."""
        return InUse(self.champion.model, self.challenger.model, self.rules.ruleset)
