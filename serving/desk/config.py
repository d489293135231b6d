"""What bounds the alerts' history: ALERTS_* in the environment or the stack's file."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from settings import read


class AlertsConfig(BaseSettings):
    """How long things are kept, and how many may watch.

    decisions_days: of payments in no alert; alerts_days: of alerts with their payments; streams: open event streams of
    one desk; heartbeat_s: the longest silence on one; refresh_late_s: a refresh
    older than this is a trouble; largest_body: of a request, in bytes.
    """

    model_config = SettingsConfigDict(env_prefix="ALERTS_", extra="ignore", frozen=True)

    decisions_days: int = Field(default=30, ge=1)
    alerts_days: int = Field(default=400, ge=1)
    streams: int = Field(default=50, ge=1)
    heartbeat_s: float = Field(default=15, gt=0)
    refresh_late_s: float = Field(default=1_800, gt=0)
    largest_body: int = Field(default=512 * 1024, gt=0)


@lru_cache(maxsize=1)
def config() -> AlertsConfig:
    """Return this process's bounds."""
    return read(AlertsConfig, "the alerts'")
