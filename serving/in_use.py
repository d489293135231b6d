"""What decides in this process: champion, challenger and rules, each watched for its successor."""

from concurrent.futures import ThreadPoolExecutor

from contracts.topics import POLICY
from serving.config import config
from serving.decide.decision import InUse
from serving.models.champion import Challenger, Champion
from serving.policy.in_force import InForce
from settings import lakehouse_home


class Watched:
    """The models and rules of one process, `name`; one thread each watches for a successor."""

    def __init__(self, name: str, prefix: str = "") -> None:
        """Watch nothing yet; the last good models and rules are kept on disk under the process's name.

        `prefix` stands before the names of topics.
        """
        caches = lakehouse_home() / "cache"
        self.champion = Champion(caches / name, config().poll_s)
        self.challenger = Challenger(caches / f"{name}-challenger", config().poll_s)
        self.rules = InForce(name, prefix + POLICY.name)
        self.beside = ThreadPoolExecutor(1, "score")
        """Scores long batches beside the caller."""

    def start(self, rules_within_s: float = 0.0, model_within_s: float = 0.0) -> None:
        """Load what this machine has, begin to watch, and wait so many seconds for first rules and a first model."""
        self.rules.start(rules_within_s)
        self.champion.start()
        self.challenger.start()
        if model_within_s and self.champion.model is None:
            self.champion.answered.wait(model_within_s)

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
