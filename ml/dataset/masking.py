"""Which payments lose which features in training, so that an outage keeps scores sane: by a hash, the same each time.

A model that never saw a gap blocks nearly every customer when the store is away, and LightGBM reads a feature that was
never missing in training as 0.0. The optional fields of the payment itself are dropped too, for an integrator may
omit them.
"""

import hashlib
from collections.abc import Iterable
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class Masked(IntFlag):
    """What a payment is built without."""

    NOTHING = 0
    CARD = 1
    ACCEPTOR = 2
    WINDOW = 4
    FIELDS = 8


PROFILES = Masked.CARD | Masked.ACCEPTOR
CASES = {
    "no card profile": Masked.CARD,
    "no acceptor profile": Masked.ACCEPTOR,
    "neither": PROFILES,
    "no window": Masked.WINDOW,
    "nothing from the online store": PROFILES | Masked.WINDOW,
}
"""What can be away together, by the name that people know it by: profiles when the feature writer is behind, the window
when the stream that observes is, all of it with the store."""
SHARE = 0.12
"""Of payments lose what is looked up for them; each case an equal part."""
FIELDS_SHARE = 0.04


def mask(source: str, transaction_id: str) -> Masked:
    """Return what the payment of this identity loses in training."""
    digest = hashlib.blake2b(f"{source}\x1f{transaction_id}".encode(), digest_size=8, person=b"masking").digest()
    looked_up, fields = (int.from_bytes(part, "big") / 2**32 for part in (digest[:4], digest[4:]))
    case = int(looked_up / SHARE * len(CASES))
    away = tuple(CASES.values())[case] if case < len(CASES) else Masked.NOTHING
    return away | (Masked.FIELDS if fields < FIELDS_SHARE else Masked.NOTHING)


def masks(sources: Iterable[str], transaction_ids: Iterable[str]) -> NDArray[np.int8]:
    """Return `mask` of each payment, shape (n,), int8."""
    return np.fromiter((mask(*pair) for pair in zip(sources, transaction_ids, strict=True)), np.int8)
