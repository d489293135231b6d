"""Every setting of the platform, read from the environment, else from the stack's own `stack.env`."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import SettingsError

PROJECT_DIR = Path(__file__).resolve().parent
Kind = TypeVar("Kind", bound=BaseSettings)
Role = Literal["reader", "spark", "trino"]
"""Who asks the storage: `reader` may read the lake, `spark` writes Bronze, `trino` Silver and Gold."""
WORDS = frozenset(
    {"", "changeme", "change-me", "secret", "password", "postgres", "minioadmin", "admin", "test", "0" * 64}
)
PLACEHOLDERS = WORDS | {hashlib.sha256(word.encode()).hexdigest() for word in WORDS}
"""Secrets that everybody knows, and their SHA-256."""
HELD_BY_SOME = frozenset(
    {
        "trino_admin_password",
        "s3_trino_secret_key",
        "api_key",
        "investigator_key",
        "operator_key",
        "session_secret",
    }
)
"""Secrets that only one program or a caller holds: elsewhere they are empty. The program that needs one asks for it."""


def is_placeholder(secret: str) -> bool:
    """Return whether a secret, or the password in a URL, is empty, a known placeholder or the SHA-256 of one."""
    if "://" in secret:
        secret = unquote(urlsplit(secret).password or "")
    return secret.strip().lower() in PLACEHOLDERS


def lakehouse_home() -> Path:
    """Return the folder that holds a stack's state: LAKEHOUSE_HOME, else `.lakehouse` in the checkout."""
    return Path(os.environ.get("LAKEHOUSE_HOME") or PROJECT_DIR / ".lakehouse").resolve()


class Definitions(BaseModel):
    """The numbers that define features and labels; they stand once, as dbt variables in dbt_project.yml."""

    label_delay_days: int = Field(ge=0, le=90)
    maturity_days: int = Field(ge=1)
    publish_delay_hours: int = Field(ge=0, lt=24)
    fraud_prior: float = Field(gt=0, lt=1)
    prior_weight: float = Field(gt=0)
    reporting_currency: str = Field(pattern="^[A-Z]{3}$")


class Settings(BaseSettings):
    """Addresses, credentials and time limits. Times end in `_s` (seconds) or `_ms` (milliseconds)."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    lakehouse_env: Literal["local", "staging", "production"] = "local"
    kafka_bootstrap: str = "127.0.0.1:9092"
    registry_url: str = "http://127.0.0.1:8081/apis/ccompat/v7"
    trino_host: str = "127.0.0.1"
    trino_port: int = 8080
    trino_user: str = "analyst"
    trino_password: SecretStr = SecretStr("")
    trino_admin_password: SecretStr = SecretStr("")
    trino_ca: str = ""
    s3_endpoint: str = "http://127.0.0.1:9000"
    s3_region: str = "us-east-1"
    s3_bucket: str = "lake"
    aws_access_key_id: str = ""
    aws_secret_access_key: SecretStr = SecretStr("")
    s3_spark_access_key: str = ""
    s3_spark_secret_key: SecretStr = SecretStr("")
    s3_trino_access_key: str = ""
    s3_trino_secret_key: SecretStr = SecretStr("")
    java_home: str = ""
    spark_jars_dir: str = ""
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    answers_url: SecretStr = SecretStr("redis://127.0.0.1:6380/0")
    alerts_database_url: SecretStr = SecretStr("postgresql://alerts@127.0.0.1:5432/alerts")
    mlflow_tracking_uri: str = "http://127.0.0.1:5000"
    api_url: str = "http://127.0.0.1:8000"
    api_ca: str = ""
    desk_url: str = "http://127.0.0.1:8001"
    api_key: SecretStr = SecretStr("")
    investigator_key: SecretStr = SecretStr("")
    operator_key: SecretStr = SecretStr("")
    keys_file: str = ""
    session_secret: SecretStr = SecretStr("")
    card_hash_key: SecretStr = SecretStr("")
    decision_key: SecretStr = SecretStr("")
    rules_second_person: bool = False

    @model_validator(mode="after")
    def refuse_placeholders(self) -> "Settings":
        """Refuse known placeholder secrets anywhere but on a laptop."""
        if self.lakehouse_env != "local":
            for name, value in self:
                if not isinstance(value, SecretStr):
                    continue
                plain = value.get_secret_value()
                if is_placeholder(plain) and (plain or name not in HELD_BY_SOME):
                    msg = (
                        f"{name.upper()} is empty, has no password or is a known placeholder; set a real secret for "
                        f"{self.lakehouse_env}"
                    )
                    raise ValueError(msg)
        return self

    def storage_key(self, role: Role) -> tuple[str, str]:
        """Return the name and the secret of a role's storage key, each empty where it is not set."""
        name, secret = {
            "reader": (self.aws_access_key_id, self.aws_secret_access_key),
            "spark": (self.s3_spark_access_key, self.s3_spark_secret_key),
            "trino": (self.s3_trino_access_key, self.s3_trino_secret_key),
        }[role]
        return name, secret.get_secret_value()


def read(kind: type[Kind], whose: str = "") -> Kind:
    """Return settings of a kind; the environment wins over the stack's file. SettingsError says `whose` are wrong."""
    try:
        return kind(_env_file=lakehouse_home() / "stack.env")
    except ValidationError as error:
        raise SettingsError(f"{whose} settings cannot be used: {error}".lstrip()) from error


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process."""
    return read(Settings)


@lru_cache(maxsize=1)
def definitions() -> Definitions:
    """Return label delay, publish delay, priors and reporting currency, as dbt uses them."""
    path = PROJECT_DIR / "dbt_project" / "dbt_project.yml"
    try:
        return Definitions.model_validate(yaml.safe_load(path.read_text())["vars"])
    except (OSError, KeyError, ValidationError) as error:
        raise SettingsError(f"{path}: the `vars` that define features cannot be read: {error}") from error
