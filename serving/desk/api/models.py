"""What the alerts' API answers and takes: the published form."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from errors import CARD_LIKE
from serving.desk.money import Money

State = Literal["open", "unsure", "fraud", "genuine"]
Verdict = Literal["fraud", "genuine", "unsure"]
AlertAction = Literal["review", "step_up", "block"]
Order = Literal["recent", "loss"]


class ReasonGiven(BaseModel):
    """One thing that pushed the score upward, or a rule by its name."""

    code: str
    text: str
    weight: float | None = None


class Alert(BaseModel):
    """A card's payments that were not approved, within 24 hours of the first of them."""

    alert_id: int
    transaction_id: str = Field(description="its payment with the largest expected loss")
    source: str
    card_id: str
    state: State = Field(description="open until somebody judges it, and again when a payment joins later")
    action: AlertAction = Field(description="the strictest decision among its payments")
    opened_at: datetime = Field(description="when its first payment was made")
    last_at: datetime = Field(description="when its newest payment was made")
    payments: int
    unpriced: int = Field(description="how many of them have no rate to the reporting currency: no sum has these")
    amount: Money | None = Field(description="sum over its payments; null when none has a rate")
    expected_loss: Money | None = Field(description="score x amount, summed likewise; without a score the amount")
    max_score: float | None
    reasons: list[ReasonGiven] = Field(description="of the payment named above, strongest first")
    change: int = Field(description="its place among all changes of alerts: the id of its event on /alerts/stream")
    assignee: str | None = Field(description="who works on it")
    assigned_at: datetime | None


class Payment(BaseModel):
    """A decided payment, as far as an investigator needs it."""

    decision_id: str
    source: str
    transaction_id: str
    card_id: str
    event_time: datetime
    decided_at: datetime
    origin: Literal["stream", "api", "unknown"] = Field(description="which door it came by: Kafka, or /predict")
    action: Literal["approve", "review", "step_up", "block"]
    decided_by: str
    score: float | None
    amount: Money | None = Field(description="in the reporting currency; null without a rate")
    amount_minor: int
    currency: str
    acceptor: str | None
    mcc: str | None
    country: str | None
    entry_mode: str | None
    latitude: float | None
    longitude: float | None
    degraded: bool
    reasons: list[ReasonGiven]
    alert_id: int | None
    verdict: Verdict | None = Field(description="what an investigator said of it here")


class PaymentId(BaseModel):
    """Names a payment."""

    source: str
    transaction_id: str


class DispositionMade(BaseModel):
    """What somebody said of an alert's payments; `sent_at` is when Kafka had its labels."""

    verdict: Verdict
    by: str
    note: str | None
    known_at: datetime
    payments: list[PaymentId]
    sent_at: datetime | None


class AlertPage(BaseModel):
    """Some alerts, and the cursor of the ones after them."""

    currency: str = Field(description="of all amounts: the reporting currency")
    alerts: list[Alert]
    next_cursor: str | None


class AlertDetail(BaseModel):
    """An alert with its payments, oldest first, and what was said of it."""

    currency: str
    alert: Alert
    payments: list[Payment]
    dispositions: list[DispositionMade]


class CardHistory(BaseModel):
    """A card's last payments, newest first, and its alerts."""

    currency: str
    card_id: str
    payments: list[Payment]
    alerts: list[Alert]


class PaymentPage(BaseModel):
    """Some payments, newest first, and the cursor of the ones before them."""

    currency: str
    payments: list[Payment]
    next_cursor: str | None


def _no_card_number(value: str | None) -> str | None:
    if value and CARD_LIKE.search(value):
        raise ValueError("it holds what may be a card number; leave it out")
    return value


def _not_typed(_: object) -> None:
    raise PydanticCustomError("extra_forbidden", "who says so is the principal of the key that asks: leave `by` out")


By = SkipJsonSchema[Annotated[None, BeforeValidator(_not_typed)]]
"""What no body says: it is refused with a reason of its own."""
TransactionId = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Disposition(BaseModel):
    """What an investigator says of a payment, and of which others it holds too."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict = Field(description="unsure is kept, and makes no label")
    note: Annotated[str, StringConstraints(max_length=500)] | None = Field(default=None, description="no card numbers")
    whole: bool = Field(default=False, description="true: it holds for every payment of the alert, however many")
    also: list[TransactionId | PaymentId] = Field(
        default=[],
        max_length=512,
        description="other payments of the card for which it holds too; a bare id is one of the same source",
    )
    corrects: bool = Field(default=False, description="true: contradict what was said of one of these before")
    source: str | None = Field(default=None, description="where two tenants have the same transaction id")
    by: By = None

    _checked = field_validator("note")(_no_card_number)


class Assignment(BaseModel):
    """How an alert is taken or left, by the principal of the key that asks."""

    model_config = ConfigDict(extra="forbid")

    takes_over: bool = Field(default=False, description="true: also when somebody else has it")
    by: By = None


class Suppressed(BaseModel):
    """Reasons for which the card raises no alert for a while; blocks excepted."""

    codes: list[str]
    until: datetime


class Disposed(BaseModel):
    """What stands after a disposition; its labels are on Kafka."""

    alert_id: int | None = Field(description="null: the payment is in no alert")
    state: State | None = Field(description="of the alert")
    verdict: Verdict
    by: str
    note: str | None
    known_at: datetime
    payments: list[PaymentId] = Field(description="those that have the verdict by this disposition")
    labels: int = Field(description="events on topic `labels` that Kafka has acknowledged")
    repeated: bool = Field(description="it was said before: nothing is new")
    suppressed: Suppressed | None = Field(description="after genuine; null if Redis did not take it")


class Summary(BaseModel):
    """Counts of decisions and alerts over the last hours."""

    hours: float
    currency: str
    decided: int
    by_action: dict[str, int]
    by_decider: dict[str, int]
    approval_rate: float | None
    degraded: int
    unpriced: int = Field(description="payments without a rate, which the amount leaves out")
    amount: Money
    alerts_opened: int
    alerts_by_state: dict[str, int] = Field(description="of all alerts, whenever opened")
    open_expected_loss: Money
    dispositions: dict[str, int] = Field(description="by verdict, made in these hours")


class Point(BaseModel):
    """Counts of one span of time; spans without decisions are there with zeros."""

    at: datetime
    decided: int
    not_approved: int
    blocked: int
    degraded: int
    amount: Money
    amount_not_approved: Money


class Series(BaseModel):
    """Counts over time, oldest first."""

    hours: float
    bucket_s: int
    points: list[Point]


class Component(BaseModel):
    """One part of the pipeline; `ok` null: it cannot be seen from this desk."""

    name: str
    ok: bool | None
    said: str
    figures: dict[str, Any] = {}


class Health(BaseModel):
    """What of the pipeline answers; it is always told with 200, see /health/ready for a probe."""

    ok: bool
    at: datetime
    components: list[Component]


class Trouble(BaseModel):
    """One thing that is wrong now, and what to do."""

    severity: Literal["critical", "warning"]
    component: str
    what: str
    do: str


class Troubles(BaseModel):
    """Everything that is wrong now, the worst first; empty when nothing is."""

    at: datetime
    troubles: list[Trouble]
