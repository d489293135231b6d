"""Python's garbage collector, set for processes that make much and leave hardly a cycle."""

import gc

THRESHOLDS = (50_000, 20, 20)
"""The default would look for cycles hundreds of times a second."""


def spare() -> None:
    """Look for cycles seldom, and never again among what lives now: what start-up made stays for good."""
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
