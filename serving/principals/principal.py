"""A principal: who an API key or a session stands for, and which sources that is allowed to see."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a principal does; who may call which route is declared where the route is."""

    INTEGRATOR = "integrator"
    """A tenant or acquirer: asks for decisions, and reads what became of its own payments."""
    INVESTIGATOR = "investigator"
    """Judges alerts, by the API or in the console."""
    AUDITOR = "auditor"
    """Reads, and changes nothing."""
    OPERATOR = "operator"
    """Sees how the pipeline is, and its metrics."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A name, a role, the sources it sees (None: all), the SHA-256 of its key, and its end in seconds since 1970."""

    name: str
    role: Role
    sources: frozenset[str] | None
    key: str
    until_s: float

    def sees(self, source: str) -> bool:
        """Return whether payments of `source` are its business."""
        return self.sources is None or source in self.sources

    @property
    def listed(self) -> list[str] | None:
        """Its sources as a query takes them; None: all."""
        return None if self.sources is None else sorted(self.sources)
