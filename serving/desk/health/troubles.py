"""What is wrong now, in words, and what to do: read off the health of the parts, with nothing kept."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from serving.desk.api.models import Component, Trouble


class Advice(NamedTuple):
    """How bad it is that a part is not well, what that means, and what to do."""

    severity: Literal["critical", "warning"]
    means: str
    do: str


ADVICE = {
    "scorer": Advice(
        "critical", "/predict does not decide as it should", "make logs S=scorer; no model: python -m ml train"
    ),
    "kafka": Advice("critical", "payments wait with their senders", "make logs S=kafka"),
    "stream": Advice("critical", "payments wait for their decision, or windows are stale", "make logs S=stream"),
    "redis": Advice("critical", "decisions are degraded: no profiles, no windows", "make logs S=redis"),
    "postgres": Advice("warning", "no alerts can be seen here; decisions go on", "make logs S=postgres"),
    "alerts-sink": Advice("warning", "new alerts come late to this page", "make logs S=alerts-sink"),
    "refused-decisions": Advice(
        "warning", "these are not in the history", "python -m serving refused list; mend the cause; refused retry"
    ),
    "bronze": Advice("warning", "the lake falls behind; records wait on Kafka", "make logs S=bronze"),
    "keys": Advice("critical", "nobody signs in and no new key counts", "mend the file: python -m serving keys list"),
    "refresh": Advice("warning", "profiles and tables grow old", "make logs S=refresh; then make refresh"),
}


def troubles(components: Iterable[Component]) -> list[Trouble]:
    """Return the troubles of parts that are not well, critical ones first."""
    found = [
        Trouble(severity=advice.severity, component=each.name, what=f"{each.said}: {advice.means}", do=advice.do)
        for each in components
        if each.ok is False
        for advice in (ADVICE[each.name],)
    ]
    return sorted(found, key=lambda trouble: trouble.severity != "critical")
