"""Whether the key that hashes card numbers is the one under which the lake's cards were hashed.

Under another key the same numbers would be other cards, without history, windows or lists, and nothing would fail. So a
fingerprint of the key stands in the lake's bucket: the Bronze driver, which lands the cards, puts it there before the
first; scorer, stream and ingestion compare theirs when they start. It is an HMAC of a fixed text, which tells the key
to nobody. What a host was once told stands in its LAKEHOUSE_HOME too, so that it starts while the storage is away.
"""

import hashlib
import hmac
import json
import logging
from pathlib import Path
from typing import Literal

from contracts.identity import hash_key
from errors import ServerError, SettingsError
from settings import lakehouse_home, settings

log = logging.getLogger(__name__)
OBJECT = "bronze/_card_key.json"
"""Beside the tables whose cards it is about: it is kept, copied and restored with them."""
TEXT = b"fraud-lakehouse: the key that hashes card numbers"


def fingerprint(key: bytes) -> str:
    """Return what tells one key from another, 64 hex digits."""
    return hmac.digest(key, TEXT, hashlib.sha256).hex()


def remembered() -> Path:
    """Return the file with the fingerprint that the lake had when it was last asked from here."""
    return lakehouse_home() / "cache" / "card-key"


def verified() -> bytes:
    """Return the key of CARD_HASH_KEY; SettingsError if there is none, or the lake's cards were hashed under another.

    A lake that does not answer, or has no cards yet, refuses nothing: the driver that lands cards asks again.
    """
    key = hash_key(settings().card_hash_key.get_secret_value())
    mine = fingerprint(key)
    if _remembers() == mine:
        return key
    try:
        known = _of_lake("reader")
    except ServerError as error:
        log.warning("CARD_HASH_KEY was not compared with the lake's: %s", error)
        return key
    if known is not None:
        _compare(mine, known)
        _remember(mine)
    return key


def claim() -> None:
    """Write the fingerprint into a lake that has none, and compare it with the one of a lake that has; for its writer.

    SettingsError if the lake's cards were hashed under another key, ServerError if the storage does not answer.
    """
    from clients import s3

    mine = fingerprint(hash_key(settings().card_hash_key.get_secret_value()))
    if s3.create(OBJECT, json.dumps({"hmac_sha256": mine}).encode(), "spark") is None:
        _compare(mine, _of_lake("spark") or "")
    _remember(mine)


def _of_lake(role: Literal["reader", "spark"]) -> str | None:
    from clients import s3  # boto3 costs half a second that a start which remembers need not spend

    found = s3.read(OBJECT, role)
    try:
        return None if found is None else str(json.loads(found.body)["hmac_sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{OBJECT} in the lake's bucket is no fingerprint of a key: restore it") from error


def _compare(mine: str, known: str) -> None:
    if not hmac.compare_digest(mine, known):
        raise SettingsError(
            f"CARD_HASH_KEY is not the key under which this lake's cards were hashed (fingerprint {mine[:8]}, the "
            f"lake's {known[:8]}): the same numbers would be other cards. Restore the key from your backup of "
            "stack.env or of your secrets; a lake is begun anew under another key only with an empty bucket"
        )


def _remembers() -> str:
    try:
        return remembered().read_text()
    except OSError:
        return ""


def _remember(mine: str) -> None:
    try:
        remembered().parent.mkdir(parents=True, exist_ok=True)
        remembered().write_text(mine)
    except OSError as error:
        log.warning("%s cannot be written, so the lake is asked at the next start too: %s", remembered(), error)
