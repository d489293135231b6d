"""What each topic and table promises the phase after it: owner, meaning, freshness, volume.

They stand once, as the dbt variable `contracts` in dbt_project.yml, where dbt's own tests read them too.
"""

from functools import cache
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from errors import ContractError, SettingsError
from settings import PROJECT_DIR

FEW = 100
"""Records; of fewer a share says nothing."""


class Promise(BaseModel):
    """One contract; what is None is not promised."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str
    meaning: str
    refused_share: float | None = Field(None, ge=0, le=1)
    warn_hours: int | None = Field(None, ge=1)
    error_hours: int | None = Field(None, ge=1)
    days_behind: int | None = Field(None, ge=0)
    rows_a_day: tuple[int, int] | None = None
    breach: Literal["warn", "error"] | None = None


@cache
def promises() -> dict[str, Promise]:
    """Return every contract by its name, `transactions.raw` or `gold.card_risk_daily`."""
    path = PROJECT_DIR / "dbt_project" / "dbt_project.yml"
    try:
        found = yaml.safe_load(path.read_text())["vars"]["contracts"]
        return TypeAdapter(dict[str, Promise]).validate_python(found)
    except (OSError, KeyError, ValidationError) as error:
        raise SettingsError(f"{path}: the contracts of the phases cannot be read: {error}") from error


def refused_too_many(topic: str, refused: int, records: int) -> str:
    """Return what is to be said of a batch of `topic` of which too many became dead letters, else nothing."""
    promise = promises().get(topic)
    if promise is None or promise.refused_share is None or records < FEW or refused <= promise.refused_share * records:
        return ""
    return (
        f"contract {topic} is broken: {refused:,} of {records:,} records were refused, at most "
        f"{promise.refused_share:.0%} may be; see `python -m ingestion dlq list`, and ask {promise.owner}"
    )


def check_columns(table: str, there: set[str], wanted: set[str]) -> None:
    """Raise ContractError when `table` lacks a column of its contract and has one that nobody knows: it was renamed.

    One that is only lacking is new in the contract, and one that is only unknown was dropped from it: both are allowed.
    """
    lost, strange = sorted(wanted - there), sorted(there - wanted)
    if lost and strange:
        promise = promises()[table]
        raise ContractError(
            f"contract {table}: column {', '.join(lost)} is not there, but {', '.join(strange)} is: renamed? "
            f"Nothing was written; ask its owner, {promise.owner}. If both changes are meant, add the column by hand."
        )
