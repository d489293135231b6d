"""The header of a payment that was decided before it reached Kafka: which decision, signed over the payment's bytes.

Whoever may write payments could else switch their decisions off.
"""

import hashlib
import hmac

NAME = "decision"
SIGNATURE_BYTES = 16


def sign(key: bytes, decision_id: str, value: bytes) -> bytes:
    """Return the header's value for a payment whose framed bytes are `value`."""
    return _signature(key, decision_id.encode(), value) + decision_id.encode()


def verified(key: bytes, header: bytes | None, value: bytes) -> str | None:
    """Return the decision that a header names; None without one, or if it was not made with `key` for these bytes."""
    if not header:
        return None
    signature, decision_id = header[:SIGNATURE_BYTES], header[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(key, decision_id, value)):
        return None
    return decision_id.decode()


def _signature(key: bytes, decision_id: bytes, value: bytes) -> bytes:
    return hmac.digest(key, decision_id + b"\0" + value, hashlib.sha256)[:SIGNATURE_BYTES]
