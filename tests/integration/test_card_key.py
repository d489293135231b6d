"""The key that hashes card numbers over a real lake: kept as a fingerprint, and another one is refused at start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clients import s3
from errors import SettingsError
from lake import card_key
from settings import PROJECT_DIR, settings
from tests.scorer_process import free_port

OTHER = "7b" * 32
STARTS = {
    "scorer": ["serving", "api"],
    "stream": ["serving", "stream"],
    "simulate": ["ingestion", "simulate", "--days", "1", "--cards", "10"],
    "replay": ["ingestion", "replay", "tests/data/sparkov-sample.csv", "--mapping", "ingestion/mappings/sparkov.yaml"],
    "bronze": ["streaming", "bronze", "--once"],
}


@pytest.fixture
def home(stack, stack_env, tmp_path, monkeypatch):
    """A host that was never here: the stack's addresses and secrets in its environment, an empty LAKEHOUSE_HOME."""
    for name, value in (stack_env | {"LAKEHOUSE_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    s3.connect.cache_clear()
    yield tmp_path
    settings.cache_clear()
    s3.connect.cache_clear()


def run(home: Path, arguments: list[str], **changed: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m ...` to its end."""
    environment = os.environ | {"LAKEHOUSE_HOME": str(home)} | changed
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_writer_of_bronze_leaves_a_fingerprint_and_others_compare(home):
    """Once there, the same key is taken by everybody, also later while the storage is away; nothing of it is secret."""
    card_key.claim()
    card_key.claim()
    card_key.remembered().unlink()
    key = card_key.verified()
    kept = s3.read(card_key.OBJECT).body.decode()
    assert card_key.fingerprint(key) in kept
    assert key.hex() not in kept
    assert card_key.remembered().read_text() == card_key.fingerprint(key)


def test_another_key_is_refused_and_the_lakes_is_left(home, monkeypatch):
    """Reader and writer refuse it and say what to do; the fingerprint stays as it was."""
    card_key.claim()
    before = s3.read(card_key.OBJECT).body
    monkeypatch.setenv("CARD_HASH_KEY", OTHER)
    settings.cache_clear()
    for refuse in (card_key.verified, card_key.claim):
        with pytest.raises(SettingsError, match="backup"):
            refuse()
    assert s3.read(card_key.OBJECT).body == before


@pytest.mark.parametrize(("name", "key"), [*((name, OTHER) for name in STARTS), ("scorer", ""), ("simulate", "")])
def test_nothing_starts_under_another_key(home, name, key):
    """Scorer, stream, ingestion and the Bronze driver end with 1 and a clear line, with a changed key as with none."""
    card_key.claim()
    done = run(home / "fresh", STARTS[name], CARD_HASH_KEY=key)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "CARD_HASH_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert OTHER not in done.stderr


def test_a_storage_that_is_away_stops_no_start(home, monkeypatch):
    """Without an answer nothing is refused, and nothing is remembered."""
    monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    settings.cache_clear()
    s3.connect.cache_clear()
    assert card_key.verified().hex() == settings().card_hash_key.get_secret_value()
    assert not card_key.remembered().exists()
