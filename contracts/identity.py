"""The keyed hash that stands for a card number (and account, device) before anything else sees it."""

import hashlib
import hmac
import re

from errors import SettingsError


def keyed_hash(key: bytes, value: str) -> str:
    """Return HMAC-SHA256 of `value` under `key` as 64 hex digits; spaces and dashes of a card number do not count."""
    return hmac.digest(key, re.sub(r"[ -]", "", value).encode(), hashlib.sha256).hex()


def hash_key(text: str, name: str = "CARD_HASH_KEY") -> bytes:
    """Return a key's 32 bytes from its hex text; SettingsError names the setting that has no such text."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"{name} must be 64 hex digits; `make up` makes one, `make env` shows how to get it")
    return key
