"""The Kafka topics of the platform; partition counts are fixed, for a card must keep its partition."""

from dataclasses import dataclass, field

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Topic:
    """One topic: name, number of partitions, the schema of its values (None: bytes as they came), configuration."""

    name: str
    partitions: int
    schema: str | None
    config: dict[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The registry's subject for the values of this topic."""
        return f"{self.name}-value"


LARGEST_MESSAGE = 2 * 1024 * 1024
"""Bytes a broker accepts in one message (max.message.bytes), so that an oversized record still arrives to be judged."""
LARGEST_LETTER = LARGEST_MESSAGE + 64 * 1024
"""A letter is its record and the headers that say why."""

ARRIVAL_STAMP = {"message.timestamp.type": "LogAppendTime"}
"""The broker stamps each record when it arrives: one clock for all readers, and none of a sender's."""

TRANSACTIONS = Topic("transactions.raw", 4, "transaction", ARRIVAL_STAMP | {"retention.ms": str(30 * DAY_MS)})
LABELS = Topic("labels", 2, "label", ARRIVAL_STAMP | {"retention.ms": str(90 * DAY_MS)})
DECISIONS = Topic("decisions", 4, "decision", ARRIVAL_STAMP | {"retention.ms": str(90 * DAY_MS)})
ALERTS = Topic("fraud-alerts", 4, "decision", ARRIVAL_STAMP | {"retention.ms": str(90 * DAY_MS)})
"""Copies of the decisions that somebody must act on; the lake has them as decisions."""
DEAD_LETTERS = Topic(
    "transactions.dlq",
    2,
    None,
    ARRIVAL_STAMP | {"retention.ms": str(90 * DAY_MS), "max.message.bytes": str(LARGEST_LETTER)},
)
POLICY = Topic("policy", 1, None, {"cleanup.policy": "compact"})
"""Versions of the rules, who put which in force, and entries of lists: the newest record of each key stays for ever."""
STREAM_GROUP = "stream-scorer"
"""The consumer group that decides the payments of TRANSACTIONS."""
TOPICS = (TRANSACTIONS, LABELS, DECISIONS, ALERTS, DEAD_LETTERS, POLICY)
