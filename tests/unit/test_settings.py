"""Known placeholder secrets are refused outside a laptop, whatever secret it is."""

import hashlib

import pytest
from pydantic import SecretStr, ValidationError

from settings import HELD_BY_SOME, Settings, is_placeholder

GOOD = "a secret that nobody knows 0123456789"
SECRETS = sorted(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)


def good(name: str) -> str:
    """Return a real secret for a setting: a URL with a password where the setting is a URL."""
    scheme, found, _ = Settings.model_fields[name].default.get_secret_value().partition("://")
    return f"{scheme}://user:{GOOD.replace(' ', '-')}@host/0" if found else GOOD


def made(**changed: str) -> Settings:
    """Return settings of production, every secret a real one but for what is changed."""
    return Settings(_env_file=None, lakehouse_env="production", **({name: good(name) for name in SECRETS} | changed))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of a shell stands in for a secret."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_real_secrets_are_taken() -> None:
    """With real secrets everywhere there is nothing to refuse; on a laptop nothing is refused."""
    assert made().lakehouse_env == "production"
    assert Settings(_env_file=None).lakehouse_env == "local"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("word", ["changeme", "Password", "minioadmin", hashlib.sha256(b"changeme").hexdigest()])
def test_a_placeholder_is_refused_as_any_secret(name: str, word: str) -> None:
    """Each setting that holds a secret is checked, also the password in a URL and the SHA-256 of a placeholder."""
    scheme, url, _ = good(name).partition("://")
    value = f"{scheme}://user:{word}@host/0" if url else word
    with pytest.raises(ValidationError, match=name.upper()):
        made(**{name: value})


@pytest.mark.parametrize("name", SECRETS)
def test_an_empty_secret_is_refused_unless_only_some_programs_hold_it(name: str) -> None:
    """Every process needs every secret, but for those that are named as one program's own."""
    scheme, url, _ = good(name).partition("://")
    value = f"{scheme}://host/0" if url else ""
    if name in HELD_BY_SOME:
        assert getattr(made(**{name: value}), name).get_secret_value() == value
    else:
        with pytest.raises(ValidationError, match=name.upper()):
            made(**{name: value})


def test_no_secret_is_a_plain_text() -> None:
    """A setting whose name is that of a secret is a SecretStr, so that the check finds it and no log shows it."""
    plain = {name for name, field in Settings.model_fields.items() if field.annotation is str}
    words = ("secret", "password", "token", "_key", "database_url", "redis_url")
    suspects = {name for name in plain if any(word in name for word in words)}
    assert suspects == {"aws_access_key_id", "s3_spark_access_key", "s3_trino_access_key"}, (
        "access keys are names; a secret is a SecretStr"
    )


def test_a_password_with_signs_of_a_url_is_read_as_it_is() -> None:
    """The password in a URL is compared decoded."""
    assert is_placeholder("redis://:change%6De@host/0")
    assert not is_placeholder("redis://:%40-real-one-%2F@host/0")
