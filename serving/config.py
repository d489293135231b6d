"""The scorer's own limits: SCORER_* in the environment or the stack's file; times end in `_s` or `_ms`."""

from functools import lru_cache
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.online.breaker import Limits
from settings import read


class Config(BaseSettings):
    """What bounds a request, and how the scorer waits for its servers.

    rate_per_s: requests a second per API key, a payment of a batch counts as one; burst: how many at once.
    tokens_per_s, tokens_burst: the same for card numbers sent to /tokens; low, for whoever may ask for all numbers of a
    range knows every card_id of it.
    tls, tls_file: whether to speak TLS, with the key and the certificate in that file (PEM).
    receive_within_s: how long a caller may take for a request, head and body, or keep a connection without one.
    connections: how many are held at once; the process's limit of open files may allow fewer.
    observe_within_s: how long the answer to a payment to observe waits for Kafka's receipt.
    """

    model_config = SettingsConfigDict(env_prefix="SCORER_", extra="ignore", frozen=True)

    redis_timeout_ms: float = Field(default=20, gt=0)
    redis_slow_ms: float = Field(default=15, gt=0)
    breaker_wait_s: float = Field(default=1, gt=0)
    poll_s: float = Field(default=3, gt=0)
    observe_within_s: float = Field(default=1, gt=0)
    rate_per_s: float = Field(default=10_000, gt=0)
    burst: float = Field(default=10_000, ge=1)
    tokens_per_s: float = Field(default=200, gt=0)
    tokens_burst: float = Field(default=2_000, ge=1)
    largest_body: int = Field(default=16 * 1024, gt=0)
    largest_batch_body: int = Field(default=512 * 1024, gt=0)
    receive_within_s: float = Field(default=10, gt=0)
    connections: int = Field(default=1_000, ge=16)
    remembered_answers: int = Field(default=20_000, ge=1)
    access_log: bool = True
    tls: Literal["off", "on"] = "off"
    tls_file: str = ""

    def breaker(self) -> Limits:
        """Return the breaker's limits for Redis."""
        return Limits(
            timeout_s=self.redis_timeout_ms / 1000, slow_s=self.redis_slow_ms / 1000, wait_s=self.breaker_wait_s
        )


LARGEST_BATCH = 200
"""Payments in one /predict/batch; part of the published interface, so no setting."""
LARGEST_TOKENS = 1_000
"""Card numbers in one POST /tokens; the same."""


@lru_cache(maxsize=1)
def config() -> Config:
    """Return this process's limits."""
    return read(Config, "the scorer's")


class Namespace(BaseSettings):
    """Which topics a process uses: SERVING_NAMESPACE stands before their names, for trials beside the platform's."""

    model_config = SettingsConfigDict(env_prefix="SERVING_", extra="ignore", frozen=True)

    namespace: str = ""


@lru_cache(maxsize=1)
def topic_prefix() -> str:
    """Return what stands before the names of topics."""
    found = read(Namespace, "the topics'").namespace
    return f"{found}." if found else ""
