"""Reads LightGBM's text form: the trees as arrays, without LightGBM, whose import costs a scorer seconds and memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from errors import ModelError

CATEGORICAL, DEFAULT_LEFT, MISSING_ZERO, MISSING_NAN = 1, 2, 4, 8
"""Bits of `decision_type` (LightGBM, include/LightGBM/tree.h)."""


@dataclass(frozen=True)
class Tree:
    """One tree. A node's children are node numbers, or ~leaf number when negative; node 0 is the root.

    A value goes left if it is at most the threshold; a missing one goes left if `missing_left`.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaf_value: NDArray[np.float64]
    leaf_rows: NDArray[np.float64]


def read(content: bytes) -> tuple[int, list[Tree]]:
    """Return (number of features, trees) of a binary model; ModelError for what cannot be read or is not known here."""
    try:
        head, *blocks = content.decode().split("\nend of trees", 1)[0].split("\nTree=")
        about = _fields(head)
        if not about["objective"].startswith("binary sigmoid:1") or "average_output" in head:
            raise ModelError(f"the text model is not a boosted binary one: {about['objective']}")
        return int(about["max_feature_idx"]) + 1, [_tree(_fields(block)) for block in blocks]
    except (KeyError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"the text model is not LightGBM's: {type(error).__name__} {error}") from error


def floor32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each value: it decides the same on float32 features."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
        return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _tree(fields: dict[str, str]) -> Tree:
    if fields.get("is_linear", "0") != "0" or fields.get("num_cat", "0") != "0":
        raise ModelError("the text model has linear leaves or categorical splits, which cannot be read here")
    leaf_value = _numbers(fields["leaf_value"])
    if len(leaf_value) == 1:  # a tree that never split
        none = np.array([], dtype=np.int64)
        return Tree(none, none.astype(np.float32), none.astype(np.bool_), none, none, leaf_value, np.ones(1))
    kind = _numbers(fields["decision_type"]).astype(np.int64)
    if (kind & (CATEGORICAL | MISSING_ZERO)).any():
        raise ModelError("the text model takes zero for missing or splits by category, which cannot be read here")
    threshold = _numbers(fields["threshold"])
    # Without missing values in training LightGBM takes NaN for 0.
    missing_left = np.where(kind & MISSING_NAN, (kind & DEFAULT_LEFT) > 0, threshold >= 0)
    feature, left, right = (
        _numbers(fields[n]).astype(np.int64) for n in ("split_feature", "left_child", "right_child")
    )
    return Tree(feature, floor32(threshold), missing_left, left, right, leaf_value, _numbers(fields["leaf_count"]))


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array(text.split(), dtype=np.float64)
