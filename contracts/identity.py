"""The keyed hash that stands for a card number (and account, device) before anything else sees it."""

import hashlib
import hmac
import re

from errors import SettingsError


def keyed_hash(key: bytes, value: str) -> str:
    """Return HMAC-SHA256 of `value` under `key` as 64 hex digits; spaces and dashes of a card number do not count."""
    return hmac.digest(key, re.sub(r"[ -]", "", value).encode(), hashlib.sha256).hex()


def hash_key(text: str) -> bytes:
    """Return the key's 32 bytes from its hex text (CARD_HASH_KEY)."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(
            "CARD_HASH_KEY must be 64 hex digits: the first `make up` of a stack makes one; a lake that has cards "
            "needs the key that it had, from your backup"
        )
    return key
