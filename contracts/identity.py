"""The keyed hash that stands for a card number (and account, device) before anything else sees it."""

import hashlib
import hmac
import re

from errors import SettingsError

DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""The digits of twice a digit, added."""


def keyed_hash(key: bytes, value: str) -> str:
    """Return HMAC-SHA256 of `value` under `key` as 64 hex digits; spaces and dashes of a card number do not count."""
    return hmac.digest(key, re.sub(r"[ -]", "", value).encode(), hashlib.sha256).hex()


def luhn(number: str) -> bool:
    """Return whether the last digit is the check digit of those before it (ISO/IEC 7812-1, annex B)."""
    digits = [int(each) for each in number if each.isdecimal()][::-1]
    return (sum(digits[::2]) + sum(DOUBLED[each] for each in digits[1::2])) % 10 == 0


def hash_key(text: str, name: str = "CARD_HASH_KEY") -> bytes:
    """Return a key's 32 bytes from its hex text; SettingsError names the setting that has no such text."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(
            f"{name} must be 64 hex digits: the first `make up` of a stack makes one; a lake that has cards needs the "
            "key that it had, from your backup"
        )
    return key
